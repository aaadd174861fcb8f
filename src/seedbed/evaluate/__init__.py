"""Measures of the tables: segmentation quality here, the other protocols in their own modules."""

from seedbed.evaluate.confusion import CONVENTIONS, ConfusionMatrix
from seedbed.evaluate.thresholds import BestThreshold, ThresholdSweep

__all__ = ["CONVENTIONS", "BestThreshold", "ConfusionMatrix", "ThresholdSweep"]
