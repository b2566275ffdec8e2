"""A trained network, or its exported file, and a photo of any size -> a mask.

Names are looked up on first use, so that a model exported to ONNX predicts without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "predict_mask": "network",
    "predict_confidence": "network",
    "predict_confusion": "network",
    "predict_scores": "network",
    "Model": "model",
    "load_model": "model",
    "scores_on_grid": "views",
    "TTA_SCALES": "views",
}

__all__ = ["TTA_SCALES", "Model", "load_model", "predict_confidence", "predict_confusion"]
__all__ += ["predict_mask", "predict_scores", "scores_on_grid"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
