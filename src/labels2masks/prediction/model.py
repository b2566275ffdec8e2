"""A trained model, however it was kept: a run folder, its safetensors file, or the ONNX file made from it.

All three see the same pixels and are read by the same code, so they give the same masks. One exception: where a photo
is seen in tiles, a network pools over the whole photo, an ONNX file, which can not be told, over the tile.
ONNX files need no torch.

Legend: H, W = pixels; h, w = cells; C = classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from ..classes import Classes
from ..errors import DataError, UsageError
from ..grid import Grid
from .sliding import Forward
from .tiles import Block, Seams, Whole, confidence_of, mask_of, probabilities_of, score_blocks
from .views import ONE_VIEW, Tta, Views, views_of

T = TypeVar("T")

FILE = "model.safetensors"
KEY = "labels2masks"


@dataclass(frozen=True)
class Model:
    """classes: what the channels mean. info: the file's header (network, encoder, protocol card ...).

    forward: one pass, image_HW3 -> scores_Chw on `grid`; takes sizes from `smallest` on. whole: see `tiles.Whole`.
    views: how its recipe looks at photos; what `tta` = None means. Other values of `tta`: see `views.Tta`.
    Safe to call from several threads: the passes queue up, the rest runs side by side.

    Photos of any size; those above `tiles.TILE` are seen in tiles. seams: is told how well the tiles agreed.
    """

    classes: Classes
    info: dict[str, Any]
    forward: Forward
    grid: Grid
    smallest: int = 1
    working_size: int | None = None
    path: Path | None = None
    whole: Whole | None = None
    views: Views = ONE_VIEW
    _turn: Lock = field(default_factory=Lock, repr=False, compare=False)

    def predict_mask(
        self,
        image_HW3: np.ndarray,
        tta: Tta = None,
        seams: Seams | None = None,
        dtype: type = np.int32,
    ) -> np.ndarray:
        """mask_HW of `dtype`, class indices at the photo's own size. image_HW3: uint8 RGB from 1x1 on."""
        height, width = image_HW3.shape[:2]
        return mask_of(self._blocks(image_HW3, tta, seams), height, width, dtype)

    def predict_confidence(self, image_HW3: np.ndarray, tta: Tta = None) -> tuple[np.ndarray, np.ndarray]:
        """(mask_HW int32, confidence_HW float32: the probability of that class)."""
        return confidence_of(self._blocks(image_HW3, tta), *image_HW3.shape[:2])

    def predict_scores(self, image_HW3: np.ndarray, tta: Tta = None, seams: Seams | None = None) -> np.ndarray:
        """probabilities_CHW float32; costs 4 * C * H * W bytes, up to three times that while it works."""
        return probabilities_of(self._blocks(image_HW3, tta, seams), *image_HW3.shape[:2])

    def _blocks(self, image_HW3: np.ndarray, tta: Tta, seams: Seams | None = None) -> Iterator[Block]:
        whole = self.whole
        return score_blocks(
            self._in_turn(self.forward),
            self.grid,
            image_HW3,
            self.smallest,
            self.working_size,
            views_of(tta, self.views),
            whole and (lambda shrunk_HW3: self._in_turn(self._in_turn(whole)(shrunk_HW3))),
            seams,
        )

    def _in_turn(self, act: Callable[[np.ndarray], T]) -> Callable[[np.ndarray], T]:
        def one_at_a_time(image_HW3: np.ndarray) -> T:
            with self._turn:
                return act(image_HW3)

        return one_at_a_time


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
    from .network import passes
    from .prepare import prepare

    network: Any
    network, info = load_network(path)
    network.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    prepare(network)

    run, whole = passes(network)
    classes = Classes.from_json(info["classes"])
    return Model(classes, info, run, network.grid, network.smallest, network.working_size, path, whole, _views(info))


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

    smallest, working_size = info.get("smallest", 1), info["working_size"]
    return Model(classes, info, run, grid, smallest, working_size, path, views=_views(info))


def _views(info: dict[str, Any]) -> Views:
    """Those in a file's header; one view where it is older or has none."""
    return Views(**info.get("inference", {}))
