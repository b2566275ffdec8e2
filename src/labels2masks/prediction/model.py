"""A trained model, however it was kept: a run folder, its safetensors file, or the ONNX file made from it.

All three see the same pixels and are read by the same code, so they give the same masks.
ONNX files need no torch.

Legend: H, W = pixels; h, w = cells; C = classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..classes import Classes
from ..errors import DataError, UsageError
from ..grid import Grid
from ..kernels.upsample_argmax import upsample_argmax
from .views import Forward, scores_on_grid, softmax, upsampled

FILE = "model.safetensors"
KEY = "labels2masks"


@dataclass(frozen=True)
class Model:
    """classes: what the channels mean. info: the file's header (network, encoder, protocol card ...).

    forward: one pass, image_HW3 -> scores_Chw on `grid`; takes sizes from `smallest` on.
    Safe to call from several threads: the passes queue up, the rest runs side by side.
    """

    classes: Classes
    info: dict[str, Any]
    forward: Forward
    grid: Grid
    smallest: int = 1
    working_size: int | None = None
    path: Path | None = None
    _turn: Lock = field(default_factory=Lock, repr=False, compare=False)

    def predict_mask(self, image_HW3: np.ndarray, tta: bool | Sequence[float] = False) -> np.ndarray:
        """mask_HW int32, class indices at the photo's own size. image_HW3: uint8 RGB from 1x1 on."""
        scores_Chw, grid = self.scores(image_HW3, tta)
        return upsample_argmax(scores_Chw, grid, *image_HW3.shape[:2])

    def predict_confidence(
        self, image_HW3: np.ndarray, tta: bool | Sequence[float] = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """(mask_HW int32, confidence_HW float32: the probability of that class)."""
        scores_Chw, grid = self.scores(image_HW3, tta)
        height, width = image_HW3.shape[:2]
        return upsample_argmax(scores_Chw, grid, height, width, confidence=True)

    def predict_scores(self, image_HW3: np.ndarray, tta: bool | Sequence[float] = False) -> np.ndarray:
        """probabilities_CHW float32; costs 4 * C * H * W bytes, three times that while it works."""
        return softmax(upsampled(*self.scores(image_HW3, tta), *image_HW3.shape[:2]))

    def scores(self, image_HW3: np.ndarray, tta: bool | Sequence[float] = False) -> tuple[np.ndarray, Grid]:
        """(scores_Chw float32, their Grid in the photo's pixels): what all of the above are made from."""
        return scores_on_grid(self._pass, self.grid, image_HW3, self.smallest, self.working_size, tta)

    def _pass(self, image_HW3: np.ndarray) -> np.ndarray:
        with self._turn:
            return self.forward(image_HW3)


def load_model(source: Any, device: str | None = None) -> Model:
    """The model of a run folder, a `Run`, a model.safetensors or a model.onnx.

    device: "cpu", "cuda" ...; None = the GPU where there is one, for safetensors; ONNX files run on the CPU.
    Raises UsageError where nothing is there, DataError where the file is damaged or none of ours.
    """
    if isinstance(source, Model):
        return source
    path = model_file(source)
    return _from_onnx(path) if path.suffix == ".onnx" else _from_safetensors(path, device)


def model_file(source: Any) -> Path:
    """The one file that is the model. Raises UsageError where there is none."""
    path = Path(getattr(source, "folder", source))
    file = path / FILE if path.is_dir() else path
    if file.is_file() and file.suffix in (".safetensors", ".onnx"):
        return file
    raise UsageError(
        f"no model in {path}: expected a finished run folder (with {FILE}), a .safetensors or an .onnx file"
    )


def _from_safetensors(path: Path, device: str | None) -> Model:
    import torch

    from ..networks.saved import load_network
    from .network import forward

    network: Any
    network, info = load_network(path)
    network.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()

    def run(image_HW3: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return forward(network, image_HW3)

    classes = Classes.from_json(info["classes"])
    return Model(classes, info, run, network.grid, network.smallest, network.working_size, path)


def _from_onnx(path: Path) -> Model:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(f"{path}: reading ONNX needs onnxruntime: pip install 'labels2masks[onnx]'") from None
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        info = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
        classes, grid = Classes.from_json(info["classes"]), Grid(**info["grid"])
    except KeyError:
        raise DataError(f"{path}: an ONNX file without our metadata; export it with `labels2masks export`") from None
    except Exception as error:  # onnxruntime has a dozen exception types of its own
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: not a readable ONNX file: {reason}") from None

    def run(image_HW3: np.ndarray) -> np.ndarray:
        return session.run(["scores"], {"images": image_HW3[None]})[0][0]

    return Model(classes, info, run, grid, info.get("smallest", 1), info["working_size"], path)
