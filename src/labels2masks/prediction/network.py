"""A network and one photo of any size -> mask, or probabilities.

The mask comes straight from the scores on their grid: full-size scores of all classes are
never held. `predict_scores` is for people who want them, and is never used inside.

Legend: N = images; H, W = pixels; h, w = cells; C = classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from .pooled import pooling_over
from .sliding import Forward
from .tiles import Block, Whole, confidence_of, confusion_of, mask_of, probabilities_of, score_blocks
from .views import Tta


def predict_mask(network: nn.Module, image_HW3: np.ndarray, tta: Tta = False) -> np.ndarray:
    """mask_HW int32: the class index of every pixel, at the photo's own size.

    image_HW3: uint8 RGB, any size from 1x1; see `tiles` for large ones. tta: see `views.Tta`.
    Runs where the network is, in evaluation mode, and leaves its mode as it was.
    """
    with evaluating(network):
        return mask_of(_blocks(network, image_HW3, tta), *image_HW3.shape[:2])


def predict_confidence(network: nn.Module, image_HW3: np.ndarray, tta: Tta = False) -> tuple[np.ndarray, np.ndarray]:
    """(mask_HW as `predict_mask` gives it, confidence_HW float32: the probability of that class, 0..1)."""
    with evaluating(network):
        return confidence_of(_blocks(network, image_HW3, tta), *image_HW3.shape[:2])


def predict_confusion(network: nn.Module, image_HW3: np.ndarray, truth_HW: np.ndarray) -> np.ndarray:
    """confusion_CC int64 (row = true class, column = predicted) of `predict_mask` against class indices, -1 = void."""
    with evaluating(network):
        return confusion_of(_blocks(network, image_HW3, False), truth_HW)


def predict_scores(network: nn.Module, image_HW3: np.ndarray, tta: Tta = False) -> np.ndarray:
    """probabilities_CHW float32 that sum to 1 over the classes, at the photo's own size.

    Holds 4 * C * H * W bytes, and up to three times that while it works: 21 classes of a
    12-megapixel photo are 1 GB. A mask alone (`predict_mask`) needs none of it.
    """
    with evaluating(network):
        return probabilities_of(_blocks(network, image_HW3, tta), *image_HW3.shape[:2])


def _blocks(network: Any, image_HW3: np.ndarray, tta: Tta) -> Iterator[Block]:
    run, whole = passes(network)
    return score_blocks(run, network.grid, image_HW3, network.smallest, network.working_size, tta, whole)


def passes(network: Any) -> tuple[Forward, Whole | None]:
    """One pass of a network in evaluation mode, and how to pool over a photo that is seen in tiles, if it does."""

    def run(image_HW3: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return forward(network, image_HW3)

    return run, None if network.finite_field else pooling_over(run)


def forward(network: nn.Module, image_HW3: np.ndarray) -> np.ndarray:
    """scores_Chw float32 on the host, from one pass of the network on its own device."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    # Bytes travel to the device, floats are made there. The copy is for torch, which refuses the strides of
    # a turned photo with one row (-3), although numpy calls it contiguous, and warns of read-only ones.
    image_13HW = torch.from_numpy(image_HW3.copy()).to(device).permute(2, 0, 1)[None].float()
    return network(image_13HW)[0].float().cpu().numpy()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, then each module back in its own: training may hold some layers frozen."""
    training = [module for module in network.modules() if module.training]
    if training:
        network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
