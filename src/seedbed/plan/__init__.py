"""From names to files: what each rule reads and is given, what a table needs, what it would cost. No torch."""

from seedbed.plan.pipeline import Pipeline

__all__ = ["Pipeline"]
