"""The verb `crf`: one photo and its scores -> the mask of a dense CRF, and a picture of how it came about.

    l2m crf photo.jpg scores.npz        l2m crf photo.jpg --model runs/DATE-photos --preset krahenbuhl

The picture: the photo, the arg-max of the scores (the unary term alone), the mask after 1, 2, 5 and 10 steps of the
mean field, the pixels that changed in the colour of their new class, and the classes with their share of the photo.

Legend: H, W = pixels of the photo; h, w = pixels of a panel; L = labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ..classes import Classes
from ..errors import UsageError
from ..files import write_atomically
from ..formats.image import Levels, read_image
from ..kernels.dense_crf import CRFParameters, dense_crf
from ..prediction.crf import Preset, crf_parameters, in_words
from ..prediction.model import load_model
from ..prediction.saved_scores import SavedScores, read_scores
from ..prediction.write import write_mask
from .overlay import DARK, chip, font, overlay, shortened
from .pictures import GAP, strip

SHOWN = (1, 2, 5, 10)
ACROSS = 4
"""Panels in a row."""
LARGEST, SMALLEST = 420, 260
"""Pixels of a panel's width: captions must be readable below, and one look must hold the picture above."""
PALE = 190
LINE = 24


def crf(
    image: Path | str,
    scores: Path | str | None = None,
    *,
    run: Any = None,
    preset: Preset | None = None,
    out: Path | str | None = None,
    levels: Levels | None = None,
) -> dict[str, Any]:
    """Write OUT/<stem>-mask.png and OUT/<stem>-crf.png for one photo, over earlier ones.

    scores: a file as in `prediction.saved_scores`, or instead
    run: run folder, `Run` or model file that predicts them; the mask is then in the ids of its data set.
    preset: a name, a file of `crf tune` or `CRFParameters`; None = "irn" for hard labels, else "deeplab".
    out: a folder; None = "crf". levels: for a photo of more than 8 bits.
    Returns {"mask", "picture", "read_as", "crf" (in words), "changed" (pixels that the CRF changed), "changed_share"}.
    Raises UsageError for a wrong call, DataError for a file that can not be used.
    """
    if (scores is None) == (run is None):
        raise UsageError("crf takes a file of scores, or a model that predicts them (--model RUN)")
    image_HW3 = read_image(image, levels)
    said = _predicted(image_HW3, run) if scores is None else read_scores(scores, *image_HW3.shape[:2])
    preset = preset or ("irn" if said.read_as == "labels" else "deeplab")
    masks = crf_steps(image_HW3, said.probabilities_LHW, crf_parameters(preset))
    masks[0] = said.mask_HW
    folder, stem = Path("crf" if out is None else out), Path(image).stem
    changed = int((masks[max(masks)] != said.mask_HW).sum())
    sheet = Image.fromarray(steps_picture(image_HW3, masks, said.classes))
    return {
        "mask": str(_written(folder / f"{stem}-mask.png", masks[max(masks)], said.classes)),
        "picture": str(write_atomically(folder / f"{stem}-crf.png", lambda file: sheet.save(file, format="PNG"))),
        "read_as": said.read_as,
        "crf": in_words(preset),
        "changed": changed,
        "changed_share": round(changed / said.mask_HW.size, 6),
    }


def crf_steps(image_HW3: np.ndarray, probabilities_LHW: np.ndarray, parameters: CRFParameters) -> dict[int, np.ndarray]:
    """{steps: mask_HW int32}: 0 = the arg-max of the probabilities, then those of SHOWN, and all steps at last."""
    steps = sorted({step for step in SHOWN if step < parameters.iterations} | {parameters.iterations})
    masks = {0: probabilities_LHW.argmax(axis=0).astype(np.int32)}
    for step in steps:
        if step:
            masks[step] = dense_crf(image_HW3, probabilities_LHW, replace(parameters, iterations=step), mask=True)
    return masks


def steps_picture(image_HW3: np.ndarray, masks: Mapping[int, np.ndarray], classes: Classes) -> np.ndarray:
    """uint8 HW3. masks: as `crf_steps` gives them; -1 = unsure."""
    height, width = image_HW3.shape[:2]
    scale = SMALLEST / width if width < SMALLEST else min(LARGEST / width, 1)
    scale = min(scale, 2 * LARGEST / height)
    w, h = max(round(width * scale), 1), max(round(height * scale), 1)
    small_hw3 = cv2.resize(image_HW3, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    small = {step: cv2.resize(mask_HW, (w, h), interpolation=cv2.INTER_NEAREST) for step, mask_HW in masks.items()}
    last = max(masks)
    panels = {f"photo, {width}x{height}": small_hw3}
    for step, mask_hw in small.items():
        moved = f": {_percent((masks[step] != masks[0]).mean())} changed" if step else ""
        name = f"after {step} step{'s' * (step > 1)}" if step else "unary term alone: arg-max"
        panels[name + moved] = overlay(small_hw3, mask_hw, classes, 0.6)
    count = int((masks[last] != masks[0]).sum())
    panels[f"{count:,} of {masks[0].size:,} pixels changed"] = _changed(small_hw3, small[0], small[last], classes)
    panels["share of the photo before, after"] = _shares(masks[0], masks[last], classes, h, w)
    rows = [dict(list(panels.items())[k : k + ACROSS]) for k in range(0, len(panels), ACROSS)]
    strips = [strip(row) for row in rows]
    sheet = np.full((sum(s.shape[0] + GAP for s in strips) + GAP, strips[0].shape[1] + 2 * GAP, 3), 255, np.uint8)
    y = 0
    for s in strips:
        sheet[y : y + s.shape[0], GAP : GAP + s.shape[1]] = s
        y += s.shape[0] + GAP
    return sheet


def _predicted(image_HW3: np.ndarray, run: Any) -> SavedScores:
    model = load_model(run)
    probabilities_LHW = model.predict_scores(image_HW3)
    mask_HW = probabilities_LHW.argmax(axis=0).astype(np.int32)
    return SavedScores(probabilities_LHW, mask_HW, model.classes, "model")


def _written(path: Path, mask_HW: np.ndarray, classes: Classes) -> Path:
    write_mask(path, mask_HW, classes)
    return path


def _changed(small_hw3: np.ndarray, before_hw: np.ndarray, after_hw: np.ndarray, classes: Classes) -> np.ndarray:
    """The photo pale and grey; what changed in the colour of its new class."""
    grey_hw = cv2.cvtColor(small_hw3, cv2.COLOR_RGB2GRAY).astype(np.float32)
    drawn_hw3 = np.repeat((PALE + grey_hw * (255 - PALE) / 255)[..., None], 3, axis=2).astype(np.uint8)
    changed_hw = before_hw != after_hw
    drawn_hw3[changed_hw] = np.array(classes.colours, np.uint8)[after_hw[changed_hw]]
    return drawn_hw3


def _shares(before_HW: np.ndarray, after_HW: np.ndarray, classes: Classes, h: int, w: int) -> np.ndarray:
    """The classes that occur, largest first, as many as fit."""
    panel = Image.new("RGB", (w, h), (255, 255, 255))
    draw = ImageDraw.Draw(panel)
    count = len(classes)
    before_L, after_L = (
        np.bincount(m[m >= 0], minlength=count) / max(m.size, 1) for m in (before_HW.ravel(), after_HW.ravel())
    )
    found = [int(i) for i in np.argsort(-after_L, kind="stable") if before_L[i] or after_L[i]]
    fit = max(h // LINE, 1)
    shown = found if len(found) <= fit else found[: max(fit - 1, 1)]
    for k, i in enumerate(shown):
        text = f"{_percent(before_L[i])}, {_percent(after_L[i])}"
        room = w - draw.textlength(text, font(13)) - 30
        chip(draw, 0, k * LINE + 2, shortened(draw, classes.names[i], room, 13), classes.colours[i], 13)
        draw.text((w - 2, k * LINE + LINE / 2), text, fill=DARK, font=font(13), anchor="rm")
    if len(shown) < len(found):
        draw.text((2, len(shown) * LINE + LINE / 2), f"{len(found) - len(shown)} more", DARK, font(13), anchor="lm")
    return np.asarray(panel)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 or share == 0 else f"{100 * share:.3f} %"
