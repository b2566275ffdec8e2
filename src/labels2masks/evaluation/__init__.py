"""Masks against truth: one confusion matrix, outlines, calibration, and the card that says what a number rests on."""

from .boundary import BoundaryF1, boundary_f1
from .calibration import Calibration
from .confusion import OUTSIDE, Confusion
from .per_photo import PerPhoto
from .protocol import card_lines, protocol_card

__all__ = [
    "OUTSIDE",
    "BoundaryF1",
    "Calibration",
    "Confusion",
    "PerPhoto",
    "boundary_f1",
    "card_lines",
    "protocol_card",
]
