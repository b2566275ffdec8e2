"""SegNet: values go back where they came from, at every size; its pairs can be added one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from contracts import network_contract, network_exports
from safetensors.torch import save_file

from labels2masks import networks
from labels2masks.classes import Classes
from labels2masks.errors import DataError, UsageError
from labels2masks.networks.saved import save_network, start_from
from labels2masks.networks.segnet import _VGG16, pooled, put_back, response_normalised, unpooled


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [("segnet_basic", 11, 1_416_075), ("segnet", 11, 29_449_355), ("segnet", 37, 29_464_357)],
)
def test_parameter_counts(name: str, classes: int, parameters: int) -> None:
    with torch.device("meta"):
        network = networks.build(name, classes)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_every_size_comes_back_and_maxima_lie_where_they_were() -> None:
    for height in range(1, 65):
        for width in (1, 2, 7, 30, 65 - height):
            first = x = torch.rand(1, 2, height, width) + 1
            seen = []
            for _ in range(5):
                x, where = pooled(x)
                seen.append((where, x.shape))
            sizes = [(height, width), *(tuple(shape[2:]) for _, shape in seen[:-1])]
            for (where, _), size in zip(reversed(seen), reversed(sizes), strict=True):
                x = unpooled(x, where, *size)
            assert x.shape == first.shape
            assert torch.equal(x[x != 0], first[x != 0])
            assert torch.equal(x.amax(dim=(2, 3)), first.amax(dim=(2, 3)))


def test_sizes_of_the_paper() -> None:
    x, sizes = torch.zeros(1, 1, 360, 480, device="meta"), []
    for _ in range(5):
        x, _ = pooled(x)
        sizes.append(tuple(x.shape[2:]))
    assert sizes == [(180, 240), (90, 120), (45, 60), (23, 30), (12, 15)]


def test_unpooling_is_torchs() -> None:
    maps = torch.rand(2, 3, 7, 10)
    values, where = pooled(maps)
    expected = torch.nn.functional.max_unpool2d(values, where, 2, 2, output_size=(7, 10))
    assert torch.equal(unpooled(values, where, 7, 10), expected)


@pytest.mark.parametrize("encoder", ["test_resnet", "test_convnext", "tf_efficientnet_lite0"])
def test_values_stay_around_their_cells(encoder: str) -> None:
    """The deepest cells' own coordinates, put back to the finest map: on average they lie where they say.

    With 2x2 windows on a ResNet all would lie 15 pixels off. Where strides are by 3x3, most windows here hold zeros
    only, as behind a ReLU.
    """
    with torch.device("meta"):
        network = networks.build("segnet", 2, encoder)
    grids = network.encoder.grids
    torch.manual_seed(0)
    cells = 512 // int(grids[-1].stride_y)
    said = (grids[-1].centre_y + grids[-1].stride_y * torch.arange(cells)).expand(1, 256, cells, cells).double()
    met = torch.ones_like(said)
    for fine, window in zip(reversed(grids[:-1]), reversed(network.windows), strict=True):
        cells = 512 // int(fine.stride_y)
        maps = torch.rand(1, 256, cells, cells)
        if window[0] == 3:
            maps = (maps - 0.9).relu()
        said, met = put_back(said, maps, *window), put_back(met, maps, *window)
    lies = (grids[0].centre_y + grids[0].stride_y * torch.arange(cells)).expand_as(said)
    inner = (met > 0) & (lies > 64) & (lies < 448)
    assert inner.sum() > 10_000
    assert abs(float((lies - said / met)[inner].mean())) < 1


def test_windows_at_odd_sizes_keep_every_value() -> None:
    for kernel, before in ((2, 0), (2, 1), (3, 0), (3, 1)):
        for height, width in ((1, 1), (2, 3), (7, 6), (5, 16)):
            fine, values = torch.rand(1, 2, height, width), torch.rand(1, 2, -(-height // 2), -(-width // 2))
            back = put_back(values, fine, kernel, before)
            assert back.shape == fine.shape and torch.isclose(back.sum(), values.sum())


def test_response_normalisation_is_caffes() -> None:
    images = torch.rand(1, 3, 5, 6) * 255
    expected = torch.nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)(images)
    assert (response_normalised(images) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_pairs_are_added_from_outside(tmp_path: Path) -> None:
    """Of a run with one pair fewer everything fits but the new inner pair."""
    classes = Classes(("sky", "road"))
    torch.manual_seed(0)
    outer = networks.build("segnet_basic", 2, settings={"depth": 1})
    save_network(tmp_path / "outer.safetensors", outer, {"classes": classes})
    two = networks.build("segnet_basic", 2, settings={"depth": 2})
    report = start_from(two, classes, tmp_path / "outer.safetensors")
    assert {name[:10] for name in report["left"]} == {"encoders.1", "decoders.1"}
    assert torch.equal(two.decoders[0][0].weight, outer.decoders[0][0].weight)
    assert torch.equal(two.classifier.weight, outer.classifier.weight)


def test_weights_of_vgg16_with_and_without_batch_norm(tmp_path: Path) -> None:
    import torchvision

    for name in ("vgg16", "vgg16_bn"):
        with torch.device("meta"):
            features = getattr(torchvision.models, name)().features
        features = features.to_empty(device="cpu")
        values = {f"features.{k}": torch.rand_like(v.float()) for k, v in features.state_dict().items()}
        save_file({**values, "classifier.6.weight": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
        encoder = _VGG16(tmp_path / f"{name}.safetensors")
        last = 28 if name == "vgg16" else 40
        assert torch.equal(encoder.stages[4][6].weight, values[f"features.{last}.weight"])
        if name == "vgg16_bn":
            assert torch.equal(encoder.stages[4][7].running_var, values["features.41.running_var"])
    values.pop("features.40.weight")
    save_file(values, tmp_path / "less.safetensors")
    with pytest.raises(DataError, match="not torchvision's vgg16 or vgg16_bn"):
        _VGG16(tmp_path / "less.safetensors")


def test_encoders_need_strides_that_double() -> None:
    with pytest.raises(UsageError, match="SegNet pools by two"):
        networks.build("segnet", 2, "test_vit")
    with pytest.raises(UsageError, match="starts from random weights"):
        networks.build("segnet_basic", 2, weights="hub")


def test_basic_passes_the_contract(tmp_path: Path) -> None:
    network_contract(lambda classes: networks.build("segnet_basic", classes), tmp_path, [(33, 47)])
    torch.manual_seed(0)
    basic = networks.build("segnet_basic", 3, settings={"depth": 2})
    network_exports(basic)
