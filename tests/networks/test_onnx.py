"""Every network becomes an ONNX file that gives its scores at three sizes, two of which it was not traced with.

Under the name of every network stands its own code: pads, cuts, pools, heads, dilation, scales, interpolation. Only the
trunks are tiny (`tiny`), timm's, VGG16's and U-Net's alike. `test_contract` exports a timm encoder.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contracts import network_becomes_onnx, network_prepares
from networks.tiny import awake, make_trunks_tiny

from labels2masks import networks

PAPER, FAMILY = None, "resnet50"
EXPORTED: list[tuple[str, str | None, dict[str, Any]]] = [
    *((name, PAPER, {}) for name in ("fcn32s", "fcn16s", "fcn8s", "segnet", "segnet_basic", "unet", "parsenet")),
    *((name, PAPER, {}) for name in ("dilated_frontend", "dilated_context_large", "deeplab_v1_largefov")),
    *((name, PAPER, {}) for name in ("deeplab_v1_msc", "deeplab_v2", "deeplab_v2_resnet101")),
    *((name, PAPER, {}) for name in ("deeplab_v3plus_resnet101", "image_pyramid")),
    *((name, FAMILY, {}) for name in ("segnet", "unet", "dilated_context_basic", "linear", "hypercolumns", "pspnet")),
    *((name, FAMILY, {}) for name in ("deeplab_v1_msc", "deeplab_v3", "deeplab_v3_cascaded", "deeplab_v3plus")),
    *((name, FAMILY, {}) for name in ("refinenet",)),
    ("fcn8s", FAMILY, {"ups": "learned", "at_once": True}),
    ("fcn8s", PAPER, {"same": True}),
    ("unet", PAPER, {"same": True}),
    ("image_pyramid", FAMILY, {"network": "deeplab_v3", "fusion": "attention"}),
]
THE_SAME = {
    "deeplab_v2_vgg16": "deeplab_v2",
    "deeplab_v3_resnet50": "deeplab_v3",
    "deeplab_v3_resnet101": "deeplab_v3",
    "pspnet50": "pspnet",
    "pspnet101": "pspnet",
    "refinenet50": "refinenet",
    "refinenet101": "refinenet",
}
"""A published form -> the family whose operations it has, with other widths and dilations."""


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    make_trunks_tiny(monkeypatch)
    torch.manual_seed(0)


@pytest.mark.parametrize(("name", "encoder", "settings"), EXPORTED)
def test_becomes_onnx(name: str, encoder: str | None, settings: dict) -> None:
    pytest.importorskip("onnxruntime", reason="labels2masks[onnx] not installed")
    network_becomes_onnx(awake(networks.build(name, 3, encoder, settings=settings)))


@pytest.mark.parametrize(("name", "encoder", "settings"), EXPORTED)
def test_predicts_the_same_when_prepared(name: str, encoder: str | None, settings: dict) -> None:
    network_prepares(awake(networks.build(name, 3, encoder, settings=settings)))


def test_no_network_is_left_out() -> None:
    assert {name for name, *_ in EXPORTED} | THE_SAME.keys() == networks.NETWORKS.keys()


@pytest.mark.parametrize("name", THE_SAME)
def test_published_forms_have_the_layers_of_their_family(name: str) -> None:
    """Layer by layer the same kinds, whatever their numbers."""
    published, family = networks.build(name, 3), networks.build(THE_SAME[name], 3)
    assert [type(m) for m in published.modules()] == [type(m) for m in family.modules()]
