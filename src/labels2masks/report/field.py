"""What a network can see, and what it looks at: the fields of its stages, drawn bare or over a photo.

    l2m field deeplab_v3plus --encoder resnet50 --out field.png
    l2m field runs/DATE-photos --image photo.jpg --out field.png

Legend: H, W = pixels of the photo; h, w = pixels of a field.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from ..evaluation.effective_field import effective_field, side_of
from ..evaluation.receptive_field import Layer, receptive_field
from ..files import write_atomically
from ..formats.image import read_image
from ..networks import build
from .layer_plan import CLASSES, drawn_up
from .overlay import DARK, WHITE
from .pictures import strip

LONGEST = 640
"""Long side to which photos are shrunk, where the network has no working size of its own."""
PANEL = 300
_SHOWN = 5


def field(
    network: Path | str | nn.Module, encoder: str | None = None, image: Any = None, out: Path | str | None = None
) -> dict[str, Any]:
    """The stages of a network with stride, first cell, field and coverage; with an image, also what it looks at.

    network: a name (with `encoder`, a timm name, for families), a run folder, or a network. image: a file or uint8 HW3
    RGB; the effective field is that of the photo's middle. A network by name is untrained: its effective field is
    that of random weights. out: a picture (.png), of the stages' fields, or of the effective field over the photo.
    Returns {"layers": rows, "picture": path or None} and with an image {"half", "nine_tenths": sides of the squares, in
    pixels of the photo as the network sees it, that hold so much of the influence; "size": that photo's}.
    """
    found = network if isinstance(network, nn.Module) else drawn_up(str(network), encoder)
    layers = receptive_field(found, stages=True)
    result: dict[str, Any] = {"layers": [layer.row() for layer in layers], "picture": None}
    if image is None:
        picture_hw3 = stage_fields(layers)
    else:
        if any(p.is_meta for p in found.parameters()):
            torch.manual_seed(0)
            found = build(str(network), CLASSES, encoder).eval()
        image_HW3 = as_seen(found, image if isinstance(image, np.ndarray) else read_image(image))
        height, width = image_HW3.shape[:2]
        position = ((height - 1) / 2, (width - 1) / 2)
        influence_HW = effective_field(found, image_HW3, position)
        half, most = (side_of(influence_HW, position, share) for share in (0.5, 0.9))
        result |= {"half": half, "nine_tenths": most, "size": [height, width]}
        picture_hw3 = field_over(image_HW3, influence_HW, position, layers[-1].field)
    if out is not None:
        result["picture"] = write_atomically(out, lambda file: Image.fromarray(picture_hw3).save(file, format="PNG"))
    return result


def field_text(result: dict[str, Any]) -> str:
    """What `field` found beside its table, for a terminal."""
    lines = []
    if "half" in result:
        by = "x".join(map(str, result["size"]))
        lines.append(
            f"photo of {by}: half of what counts for its middle lies in a square of {result['half']} pixels, "
            f"nine tenths in one of {result['nine_tenths']}"
        )
    if result["picture"]:
        lines.append(f"look at {result['picture']}")
    return "\n".join(lines)


def as_seen(network: nn.Module, image_HW3: np.ndarray) -> np.ndarray:
    """The photo shrunk to what the network works on, at most; its sides at least what the network takes."""
    longest = network.working_size or LONGEST
    scale = max(min(1.0, longest / max(image_HW3.shape[:2])), network.smallest / min(image_HW3.shape[:2]))
    if scale == 1:
        return image_HW3
    height, width = (max(network.smallest, round(n * scale)) for n in image_HW3.shape[:2])
    return cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def stage_fields(layers: Sequence[Layer], most: int = _SHOWN) -> np.ndarray:
    """uint8 hw3: the last stages that see further than all before, on one scale; what has any influence is dark."""
    largest, shown = 0, []
    for layer in layers:
        if layer.field is not None and max(layer.field) > largest:
            largest = max(layer.field)
            shown.append(layer)
    panels = {}
    for layer in shown[-most:]:
        told = layer.row()
        name = ".".join(layer.name.split(".")[-2:]) or layer.kind
        panels[f"{name}: field {told['field']}, {told['coverage']}"] = field_panel(layer.inside_hw, largest)
    return strip(panels or {"every cell sees the whole image": np.full((PANEL, PANEL, 3), 60, np.uint8)})


def field_panel(inside_hw: np.ndarray | None, largest: int, side: int = PANEL) -> np.ndarray:
    """uint8 side x side x 3: the pixels of a field in the middle of a square of `largest` pixels."""
    assert inside_hw is not None
    h, w = inside_hw.shape
    scale = side / largest
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    share_hw = cv2.resize(inside_hw.astype(np.float32), size, interpolation=how)
    panel = np.full((side, side, 3), WHITE, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    colour = np.array((47, 111, 143), np.float32)
    panel[top : top + size[1], left : left + size[0]] = 255 - share_hw[..., None] * (255 - colour)
    cv2.rectangle(panel, (left, top), (left + size[0] - 1, top + size[1] - 1), DARK, 1)
    return panel


def field_over(
    image_HW3: np.ndarray,
    influence_HW: np.ndarray,
    position: tuple[float, float],
    box: tuple[int, int] | None,
) -> np.ndarray:
    """uint8 HW3: the photo darkened where it does not count, the square that holds half of the influence, and the box
    of the theoretical field."""
    drawn_HW3 = heat(image_HW3, influence_HW)
    half = side_of(influence_HW, position, 0.5)
    for sides, colour in ((box, (150, 150, 160)), ((half, half), WHITE)):
        if sides is not None:
            first, last = ([round(p + f * s / 2) for p, s in zip(position, sides, strict=True)][::-1] for f in (-1, 1))
            cv2.rectangle(drawn_HW3, first, last, colour, 1, cv2.LINE_AA)
    cv2.drawMarker(drawn_HW3, (round(position[1]), round(position[0])), WHITE, cv2.MARKER_CROSS, 9, 1)
    return drawn_HW3


def heat(image_HW3: np.ndarray, map_HW: np.ndarray) -> np.ndarray:
    """uint8 HW3: the photo in grey, tinted by a map from dark (0) to yellow (99.5th percentile of what is above 0).

    The square root is shown, because most influence lies on few pixels.
    """
    above = map_HW[map_HW > 0]
    top = float(np.percentile(above, 99.5)) if above.size else 1.0
    strength_HW = np.sqrt(np.clip(map_HW / max(top, 1e-30), 0, 1)).astype(np.float32)
    tint_HW3 = cv2.applyColorMap((255 * strength_HW).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey_HW1 = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return np.ascontiguousarray((0.45 * grey_HW1 + 0.55 * tint_HW3).astype(np.uint8))
