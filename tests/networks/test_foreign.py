"""Foreign weights load whole or not at all; torchvision's DeepLab v3 gives torchvision's scores here."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import deeplabv3_resnet50

from labels2masks import networks
from labels2masks.errors import DataError
from labels2masks.networks.foreign import TORCHVISION_DEEPLAB_V3, fill_from

SAME = {r"(.*)": r"\1"}


def small() -> nn.Module:
    torch.manual_seed(0)
    return networks.build("linear", 3, "test_resnet")


def test_torchvisions_deeplab_v3_is_ours() -> None:
    torch.manual_seed(0)
    theirs = deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=True, num_classes=21).eval()
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm2d):  # statistics that nobody could have by chance
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    ours = networks.build("deeplab_v3", 21, "resnet50", settings={"output_stride": 8, "smooth": True})
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def original(images_N3HW: torch.Tensor) -> torch.Tensor:
        return theirs.classifier(theirs.backbone((images_N3HW / 255 - mean) / std)["out"])

    difference = fill_from(ours, theirs.state_dict(), TORCHVISION_DEEPLAB_V3, ("aux_classifier.",), original)
    assert difference is not None and difference < 1e-5
    before = ours.classifier.bias.clone()
    other = {**theirs.state_dict(), "classifier.4.bias": before + 1}
    with pytest.raises(DataError, match="differs from the original"):
        fill_from(ours, other, TORCHVISION_DEEPLAB_V3, ("aux_classifier.",), original)
    assert torch.equal(ours.classifier.bias, before)


def test_weights_pass_from_one_to_another() -> None:
    source, target = small(), small()
    nn.init.normal_(source.scores[0].weight)
    assert fill_from(target, source.state_dict(), SAME) is None
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in target.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores.0.bias": None}, "lacks 1 tensors, for instance scores.0.bias"),
        ({"scores.9.bias": torch.zeros(3)}, "has unknown 1 tensors, for instance scores.9.bias"),
        ({"scores.0.bias": torch.zeros(4)}, "has other shapes for 1 tensors, for instance scores.0.bias"),
        ({"scores.0.bias": torch.full((3,), torch.nan)}, "gives no numbers"),
    ],
)
def test_every_difference_is_an_error_and_changes_nothing(change: dict, message: str) -> None:
    network = small()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    foreign = {k: torch.ones_like(v) for k, v in network.state_dict().items()} | change
    with pytest.raises(DataError, match=message):
        fill_from(network, {k: v for k, v in foreign.items() if v is not None}, SAME)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_names_are_all_accounted_for() -> None:
    network = small()
    with pytest.raises(DataError, match="says nothing of the foreign tensor 'encoder"):
        fill_from(network, network.state_dict(), {r"scores\.(.*)": r"scores.\1"})
    with pytest.raises(DataError, match="two foreign tensors would both become 'x'"):
        fill_from(network, network.state_dict(), {r".*": "x"})
