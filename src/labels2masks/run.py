"""A finished training run: a thin coat over its folder."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import UsageError

if TYPE_CHECKING:
    from .classes import Classes
    from .formats.dataset import Dataset
    from .prediction.model import Model


class Run:
    """run.predict("new.jpg") -> mask; run.export("model.onnx"); run.evaluate(data); run.report().

    folder: what `train` wrote. The network is loaded when it is first needed.
    Raises UsageError where the folder is no finished run.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        if not (self.folder / "model.safetensors").is_file():
            raise UsageError(
                f"{self.folder} is no finished run: it has no model.safetensors; "
                "finish it with `train --resume --out` or name another folder"
            )

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def metrics(self) -> dict[str, Any]:
        """The score with its protocol card, as metrics.json holds it; {} where the run was not scored."""
        path = self.folder / "metrics.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @property
    def classes(self) -> Classes:
        return self.model.classes

    @cached_property
    def model(self) -> Model:
        from .prediction.model import load_model

        return load_model(self.folder)

    def predict(self, image: Path | str | np.ndarray, tta: bool | None = None) -> np.ndarray:
        """mask_HW int32, class indices at the photo's own size. image: a file, or uint8 HW3 RGB.

        `labels2masks.predict` writes the masks of a whole folder, in the ids of the data set's files.
        """
        return self.model.predict_mask(_pixels(image), tta)

    def predict_scores(self, image: Path | str | np.ndarray, tta: bool | None = None) -> np.ndarray:
        """probabilities_CHW float32 at the photo's own size; costs 4 * C * H * W bytes."""
        return self.model.predict_scores(_pixels(image), tta)

    def evaluate(self, data: Dataset | Path | str, split: str | None = None, **settings: Any) -> dict[str, Any]:
        """Score against a data set; see `labels2masks.evaluate`."""
        from .evaluation.evaluate import evaluate

        return evaluate(self, data, split, **settings)

    def report(self, data: Dataset | Path | str | None = None, no_photos: bool = False) -> Path:
        """Write report.html, plots and overlays anew; returns the page. See `report.run_report`."""
        from .report.run_report import run_report

        return run_report(self, data, no_photos)

    def export(self, path: Path | str) -> dict[str, Any]:
        """Write one ONNX file, checked against this network; see `labels2masks.export`."""
        from .deployment.onnx import export

        return export(self, onnx=path)


def _pixels(image: Path | str | np.ndarray) -> np.ndarray:
    from .formats.image import read_image

    return image if isinstance(image, np.ndarray) else read_image(image)
