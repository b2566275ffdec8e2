"""Layout of weights and images, and what happens to freed memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from labels2masks import networks
from labels2masks.training.memory import MEMORY_FORMATS, laid_out, lay_out

LAST, FIRST = torch.channels_last, torch.contiguous_format

KEPT = """
import ctypes, torch
from labels2masks.training.memory import freed_memory_kept

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

before = resident()
with freed_memory_kept():
    for _ in range(2):
        maps = [torch.ones(10 << 20) for _ in range(5)]  # 5 x 40 MB
        del maps
    inside = resident()
print(inside - before, resident() - before)
"""


def test_every_format_computes_the_same() -> None:
    torch.manual_seed(0)
    network = networks.build("deeplab_v3plus", 3, "tf_efficientnet_lite0").eval()
    images = torch.rand(1, 70, 90, 3).permute(0, 3, 1, 2) * 255
    with torch.no_grad():
        plain = network(images.contiguous())
        for name in MEMORY_FORMATS:
            lay_out(network, name)
            torch.testing.assert_close(network(laid_out(images, name)), plain, rtol=1e-4, atol=1e-4)


def test_maps_follow_the_weights() -> None:
    """Contiguous means contiguous although decoded photos have their channels last; mixed changes after the encoder."""
    network = nn.Module()
    network.encoder, network.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)  # type: ignore[assignment]
    decoded = torch.zeros(2, 8, 9, 3).permute(0, 3, 1, 2)
    for name, of_encoder, of_head in [
        ("contiguous", FIRST, FIRST),
        ("channels_last", LAST, LAST),
        ("mixed", FIRST, LAST),
    ]:
        lay_out(network, name)
        maps = network.encoder(laid_out(decoded, name))  # type: ignore[operator]
        assert maps.is_contiguous(memory_format=of_encoder), name
        assert network.head(maps).is_contiguous(memory_format=of_head), name  # type: ignore[operator]


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_kept_inside_and_given_back_after() -> None:
    told = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True).stdout
    inside, after = map(int, told.split())
    assert inside > 150 and after < 60
