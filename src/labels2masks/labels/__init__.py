"""The label kinds a person can afford, and the one type they all become: Candidates."""

from .candidates import INK, MASK, OPEN_ROW, REGION, VOID, VOID_ROW, Candidates, Facts
from .kinds import AreaShares, Box, Boxes, Label, Mask, Point, Points, Scribbles, Stroke, Tags, kind_name
from .rasterise import rasterise
from .seconds import labelling_seconds

__all__ = [
    "INK",
    "MASK",
    "OPEN_ROW",
    "REGION",
    "VOID",
    "VOID_ROW",
    "AreaShares",
    "Box",
    "Boxes",
    "Candidates",
    "Facts",
    "Label",
    "Mask",
    "Point",
    "Points",
    "Scribbles",
    "Stroke",
    "Tags",
    "kind_name",
    "labelling_seconds",
    "rasterise",
]
