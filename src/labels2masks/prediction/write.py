"""Masks as files: indexed PNG in the data set's own ids, and what else a person may want beside it.

Nothing written here carries a time stamp, EXIF or a path: equal predictions are equal bytes.

Legend: H, W = pixels; C = classes; I = file ids 0..65535.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..classes import Classes
from ..files import write_atomically
from ..formats.coco import SEMANTIC
from ..formats.image import read_mask
from ..labels.outlines import regions, run_lengths


def write_mask(path: Path, mask_HW: np.ndarray, classes: Classes) -> None:
    """An indexed PNG in `classes.file_ids`, with a palette of the classes' colours.

    mask_HW: class indices. Where an id is above 255 the PNG is 16-bit grey and has no palette (PNG knows none).
    """
    ids_C = np.asarray(classes.file_ids)
    wide = int(ids_C.max()) > 255
    ids_HW = ids_C.astype(np.uint16 if wide else np.uint8)[mask_HW]
    picture = Image.fromarray(ids_HW)
    if not wide:
        picture.putpalette(_palette(classes))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def read_predicted(path: Path, classes: Classes) -> np.ndarray:
    """mask_HW int32 of class indices from a PNG in file ids; -1 where an id is no class. Raises DataError."""
    ids_HW = read_mask(path)
    index_I = np.full(65536, -1, np.int32)
    index_I[list(classes.file_ids)] = np.arange(len(classes))
    return index_I[ids_HW]


def write_polygons(path: Path, mask_HW: np.ndarray, classes: Classes) -> None:
    """GeoJSON-like: a FeatureCollection with one Polygon for each connected region of each class but background.

    Coordinates are (x, y) in pixels along the borders between pixels, rings are closed, holes follow the outer
    ring. Filling the polygons gives the mask back.
    """
    features = [
        {
            "type": "Feature",
            "properties": {"class": classes.names[index], "id": classes.file_ids[index], "area": area},
            "geometry": {"type": "Polygon", "coordinates": rings},
        }
        for index in _foreground(mask_HW, classes)
        for rings, area in regions(mask_HW == index)
    ]
    height, width = mask_HW.shape
    value = {"type": "FeatureCollection", "width": width, "height": height, "features": features}
    write_atomically(path, json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def write_scores(path: Path, probabilities_CHW: np.ndarray, classes: Classes) -> None:
    """NPZ: probabilities_CHW float16 and the class names. 2 * C * H * W bytes before compression."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, probabilities_CHW=probabilities_CHW.astype(np.float16), classes=np.array(classes.names, dtype=np.str_)
    )
    write_atomically(path, buffer.getvalue())


def write_shares(path: Path, masks: Iterable[tuple[str, np.ndarray]], classes: Classes) -> None:
    """CSV: one line an image, the share of its area (0..1) that each class takes."""
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["image", *classes.names])
    for name, mask_HW in masks:
        known = mask_HW[mask_HW >= 0]
        share_C = np.bincount(known, minlength=len(classes)) / mask_HW.size
        table.writerow([name, *(f"{share:.6f}" for share in share_C)])
    write_atomically(path, buffer.getvalue())


def write_coco(path: Path, masks: Iterable[tuple[str, str, np.ndarray]], classes: Classes) -> None:
    """One COCO file: (name, file name, mask_HW) of every image; one annotation per image and class, uncompressed RLE.

    Semantic, as in COCO-Stuff: all pixels of a class in an image are one annotation with iscrowd 1; no instances.
    `info` says so, by which `formats.coco` reads the masks back. Background is left out. Category ids are the file
    ids, all one higher where a class other than background has 0 (readers of COCO take 0 for "nothing").
    """
    shift = int(any(i == 0 and n != classes.background for i, n in zip(classes.file_ids, classes.names, strict=True)))
    category = [i + shift for i in classes.file_ids]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name, file_name, mask_HW in masks:
        height, width = mask_HW.shape
        images.append({"id": len(images) + 1, "file_name": file_name, "name": name, "height": height, "width": width})
        for index in _foreground(mask_HW, classes):
            of_class_HW = mask_HW == index
            rows, columns = np.flatnonzero(of_class_HW.any(axis=1)), np.flatnonzero(of_class_HW.any(axis=0))
            x, y = int(columns[0]), int(rows[0])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": category[index],
                    "segmentation": {"size": [height, width], "counts": run_lengths(of_class_HW)},
                    "area": int(of_class_HW.sum()),
                    "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
                    "iscrowd": 1,
                }
            )
    categories = [
        {"id": category[i], "name": name} for i, name in enumerate(classes.names) if name != classes.background
    ]
    info = {SEMANTIC: {"background": classes.background}}
    value = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    write_atomically(path, json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def _foreground(mask_HW: np.ndarray, classes: Classes) -> list[int]:
    """Indices of the classes in the mask, background left out."""
    return [int(i) for i in np.unique(mask_HW) if i >= 0 and classes.names[i] != classes.background]


def _palette(classes: Classes) -> list[int]:
    """256 RGB colours, flat; ids that are no class are black."""
    palette_I3 = np.zeros((256, 3), np.uint8)
    palette_I3[list(classes.file_ids)] = np.asarray(classes.colours)
    return palette_I3.ravel().tolist()
