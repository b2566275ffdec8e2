"""Plan, augment, loop, checkpoint: from labelled photos to a finished run folder."""

from .loop import TrainingError
from .settings import Settings
from .train import train

__all__ = ["Settings", "TrainingError", "train"]
