"""One ONNX file: same masks through `load_model`, the header inside, equal bytes, nothing where it disagrees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from labels2masks import networks
from labels2masks.classes import Classes
from labels2masks.deployment.onnx import _large_photos, check, export, to_onnx
from labels2masks.errors import UsageError
from labels2masks.networks.saved import save_network
from labels2masks.prediction.model import load_model

pytest.importorskip("onnxruntime", reason="labels2masks[onnx] not installed")
CLASSES = Classes(("sky", "road", "car"), file_ids=(0, 4, 9))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    network = networks.build("linear", 3, "test_resnet")
    for score in network.scores:
        torch.nn.init.normal_(score.weight)
    network.working_size = 60
    save_network(folder / "model.safetensors", network, {"classes": CLASSES, "seed": 1})
    export(folder, onnx=folder / "model.onnx")
    return folder


def test_gives_the_masks_of_the_run(run: Path) -> None:
    here, there = load_model(run), load_model(run / "model.onnx")
    assert there.classes == CLASSES and there.working_size == 60 and there.grid == here.grid
    rng = np.random.default_rng(0)
    for size in ((1, 1), (40, 50), (75, 101)):
        image_HW3 = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        assert (here.predict_mask(image_HW3) == there.predict_mask(image_HW3)).mean() >= 0.9999
        assert np.allclose(here.predict_scores(image_HW3), there.predict_scores(image_HW3), atol=1e-4)


def test_needs_nothing_but_onnxruntime(run: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(run / "model.onnx", providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    assert images.type == "tensor(uint8)" and images.shape == ["batch", "height", "width", 3]
    header = json.loads(session.get_modelmeta().custom_metadata_map["labels2masks"])
    assert header["classes"]["file_ids"] == [0, 4, 9] and header["network"] == "linear" and header["seed"] == 1
    (mask,) = session.run(["mask"], {"images": np.zeros((2, 30, 45, 3), np.uint8)})
    assert mask.shape == (2, 30, 45) and mask.dtype == np.int32


def test_equal_networks_are_equal_bytes_and_another_network_is_refused(run: Path) -> None:
    from labels2masks.networks.saved import load_network

    network, info = load_network(run)
    model = to_onnx(network, info)
    assert model == (run / "model.onnx").read_bytes()
    with torch.no_grad():
        network.scores[0].weight[0] += 1
    with pytest.raises(RuntimeError, match="does not agree .* nothing was written"):
        check(model, network)


@pytest.mark.parametrize(("size", "told"), [(None, True), (4096, True), (2048, False), (480, False)])
def test_pooling_tile_by_tile_is_said_where_it_happens(size: int | None, told: bool) -> None:
    with torch.device("meta"):
        network = networks.build("parsenet", 3, "test_resnet")
        local = networks.build("linear", 3, "test_resnet")
    network.working_size = local.working_size = size
    assert _large_photos(local) is None and (_large_photos(network) is not None) is told


def test_missing_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model in"):
        export(tmp_path / "nothing", onnx=tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
