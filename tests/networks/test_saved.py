"""One file holds a network; equal networks are equal bytes; heads meet by class name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from labels2masks.classes import Classes
from labels2masks.errors import DataError, UsageError
from labels2masks.networks import build
from labels2masks.networks.saved import load_network, save_network, start_from

ENCODER = "test_resnet"


def network(classes: int, name: str = "deeplab_v3plus") -> torch.nn.Module:
    torch.manual_seed(classes)
    return build(name, classes, ENCODER).eval()


def test_comes_back_bit_equal_and_writes_equal_bytes(tmp_path: Path) -> None:
    classes = Classes(("sky", "road", "car"))
    first = network(3)
    first.working_size = 480
    save_network(tmp_path / "run" / "model.safetensors", first, {"classes": classes, "seed": 7})
    second, info = load_network(tmp_path / "run")
    assert info["seed"] == 7 and Classes.from_json(info["classes"]) == classes and second.working_size == 480
    images = torch.rand(1, 3, 40, 50) * 255
    assert torch.equal(first(images), second(images))
    save_network(tmp_path / "again.safetensors", second, {"classes": classes, "seed": 7})
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()


def test_heads_are_matched_by_class_name(tmp_path: Path) -> None:
    old, new = Classes(("sky", "road", "car")), Classes(("car", "tree", "sky"))
    source, target = network(3), build("deeplab_v3plus", 3, ENCODER).eval()
    fresh = target.classifier.weight.detach().clone()
    save_network(tmp_path / "old.safetensors", source, {"classes": old})
    report = start_from(target, new, tmp_path / "old.safetensors")
    assert report["shared_classes"] == ["car", "sky"] and report["new_classes"] == ["tree"] and not report["left"]
    assert torch.equal(target.classifier.weight[0], source.classifier.weight[2])
    assert torch.equal(target.classifier.weight[1], fresh[1])
    assert torch.equal(target.encoder.features.conv1[0].weight, source.encoder.features.conv1[0].weight)


def test_another_network_shares_its_encoder(tmp_path: Path) -> None:
    source, target = network(3), network(2, "linear")
    save_network(tmp_path / "old.safetensors", source, {"classes": Classes(("a", "b", "c"))})
    report = start_from(target, Classes(("a", "b")), tmp_path / "old.safetensors")
    assert report["copied"] == len(target.encoder.state_dict())


def test_errors_say_what_came(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"not a file of ours")
    with pytest.raises(DataError, match="no readable safetensors"):
        load_network(tmp_path / "broken.safetensors")
    with pytest.raises(UsageError, match="expected a run folder"):
        load_network(tmp_path / "nothing")
    with pytest.raises(UsageError, match="scores 3 classes, the class list has 2"):
        save_network(tmp_path / "x.safetensors", network(3), {"classes": Classes(("a", "b"))})
