"""What a training run is told."""

from seedbed.settings.optimisation import Training, TrainSettings

__all__ = ["TrainSettings", "Training"]
