"""The label kinds a person can afford, and the one type they all become: Candidates."""

from .candidates import INK, MASK, OPEN_ROW, REGION, VOID, VOID_ROW, Candidates, Facts
from .kinds import (
    AreaShares,
    Box,
    Boxes,
    Label,
    Mask,
    Point,
    Points,
    Region,
    Regions,
    Scribbles,
    Stroke,
    Tags,
    kind_name,
)
from .rasterise import is_mask, painted_mask, rasterise
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
    "Region",
    "Regions",
    "Scribbles",
    "Stroke",
    "Tags",
    "is_mask",
    "kind_name",
    "labelling_seconds",
    "painted_mask",
    "rasterise",
]
