"""Pictures for a page: encoded anew from pixels, so that nothing of the file they came from goes along.

Legend: h, w = pixels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from .overlay import DARK, WHITE, font

QUALITY = 84
GAP, HEAD = 6, 24


def jpeg(image_hw3: np.ndarray) -> bytes:
    """A JPEG without EXIF, thumbnail or time; full colour resolution, since outlines are one pixel wide."""
    buffer = io.BytesIO()
    Image.fromarray(image_hw3).save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()


def data_uri(image_hw3: np.ndarray) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(image_hw3)).decode("ascii")


def strip(panels: Mapping[str, np.ndarray]) -> np.ndarray:
    """uint8 hw3: the panels side by side under their captions."""
    h, w = next(iter(panels.values())).shape[:2]
    sheet = Image.new("RGB", (len(panels) * (w + GAP) - GAP, h + HEAD), WHITE)
    draw = ImageDraw.Draw(sheet)
    for k, (caption, panel_hw3) in enumerate(panels.items()):
        sheet.paste(Image.fromarray(panel_hw3), (k * (w + GAP), HEAD))
        draw.text((k * (w + GAP) + 2, HEAD / 2), caption, fill=DARK, font=font(13), anchor="lm")
    return np.asarray(sheet)
