"""Every network passes the contract; its own file adds what only its paper says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import network_becomes_onnx, network_contract, network_exports, step_contract
from networks.tiny import awake

from labels2masks import networks
from labels2masks.errors import UsageError
from labels2masks.labels import Candidates
from labels2masks.narrowing import Evidence

FAMILIES = [n["name"] for n in networks.available() if n["takes_encoder"]]
SIZES = [(33, 47), (64, 96)]


@pytest.mark.parametrize("name", FAMILIES)
def test_families_pass_the_contract(name: str, tmp_path: Path) -> None:
    network_contract(lambda classes: networks.build(name, classes, "test_resnet"), tmp_path, SIZES)


@pytest.mark.parametrize("encoder", ["tf_efficientnet_lite0", "test_convnext", "test_vit"])
def test_other_kinds_of_encoder_pass_it(encoder: str, tmp_path: Path) -> None:
    network_contract(lambda classes: networks.build("deeplab_v3plus", classes, encoder), tmp_path, SIZES)


def test_export_keeps_sizes_free() -> None:
    network_exports(networks.build("deeplab_v3plus", 3, "test_resnet"))


def test_onnx_gives_the_same_masks() -> None:
    """On an encoder of timm; all networks on tiny ones: test_onnx.py."""
    torch.manual_seed(0)
    network_becomes_onnx(awake(networks.build("fcn8s", 3, "test_efficientnet")))


def test_unknown_names_and_misplaced_encoders() -> None:
    with pytest.raises(UsageError, match="did you mean 'unet'"):
        networks.build("unett", 2)
    with pytest.raises(UsageError, match="takes no --encoder"):
        networks.build("deeplab_v3plus_resnet101", 2, "resnet18")


def test_the_contract_of_steps_on_a_step_that_likes_dark_pixels() -> None:
    def step(image_HW3: np.ndarray, candidates: Candidates, cues: object) -> Evidence:
        evidence = Evidence.none(candidates)
        dark_HW = 1 - image_HW3.mean(axis=2, dtype=np.float32) / 255
        scores_CHW = evidence.log_scores_CHW.copy()
        scores_CHW[0] += dark_HW * 5
        return Evidence(scores_CHW, np.clip(dark_HW, 0, 1).astype(np.float32))

    rng = np.random.default_rng(0)
    candidates = Candidates.open(8, 9, 3).state((slice(2, 5), slice(1, 7)), np.array([False, True, True]), 1, 1.0)
    step_contract(step, rng.integers(0, 256, (8, 9, 3), dtype=np.uint8), candidates)
