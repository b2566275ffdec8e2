"""Batch normalisation folded, memory laid out: the same scores, from fewer and faster operations."""

from __future__ import annotations

import pytest
import torch
from contracts import network_prepares
from networks.tiny import awake
from torch import Tensor, nn

from labels2masks import networks
from labels2masks.prediction.prepare import fold, lay_out


class Net(nn.Module):
    smallest = 1

    def __init__(self) -> None:
        super().__init__()
        self.once, self.once_bn = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.shared, self.first_bn, self.second_bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.late, self.both_bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps = self.once_bn(self.once(images_N3HW))
        shared = self.shared(maps)
        return self.both_bn(self.late(self.first_bn(shared) * self.second_bn(shared))) + self.both_bn(maps)


def test_only_a_convolution_with_one_reader_is_folded() -> None:
    torch.manual_seed(0)
    network = awake(Net()).eval()
    image = torch.rand(1, 3, 8, 9)
    before = network(image)
    assert fold(network) == 1 and isinstance(network.once_bn, nn.Identity)
    assert isinstance(network.first_bn, nn.BatchNorm2d) and isinstance(network.both_bn, nn.BatchNorm2d)
    assert torch.allclose(network(image), before, atol=1e-5)


@pytest.mark.parametrize("encoder", ["tf_efficientnet_lite0", "mobilenetv3_large_100", "resnet18", "test_convnext"])
def test_encoders_of_timm_predict_the_same(encoder: str) -> None:
    torch.manual_seed(0)
    network = awake(networks.build("pspnet", 3, encoder))
    network_prepares(network)
    left = [name for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(name.startswith("second") for name in left), "all but the auxiliary head's, which does not predict"


def test_dilated_depthwise_convolutions_run_on_contiguous_maps() -> None:
    network = networks.build("pspnet", 3, "tf_efficientnet_lite0").eval()
    lay_out(network)
    seen = {}
    for name, m in network.named_modules():
        if isinstance(m, nn.Conv2d):
            m.register_forward_hook(lambda m, maps, _, name=name: seen.update({name: (m, maps[0].is_contiguous())}))
    network(torch.rand(1, 3, 64, 96).contiguous(memory_format=torch.channels_last))
    dilated = [whole for m, whole in seen.values() if m.dilation[0] > 1 and m.groups > 1]
    assert len(dilated) >= 6 and all(dilated)
    plain = [whole for m, whole in seen.values() if m.groups > 1 and m.dilation[0] == 1]
    assert not all(plain)
