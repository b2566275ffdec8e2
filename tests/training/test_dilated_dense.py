"""Taps as matrix products: the gradients of the library's own convolution, at any size of map."""

import pytest
import torch
from torch import nn

from labels2masks.training.dilated_dense import DilatedDense
from labels2masks.training.dilated_depthwise import use_fast_backward


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("height", "width", "kernel", "dilation"),
    [(5, 7, 3, 3), (5, 7, 3, 6), (4, 9, 3, 7), (1, 6, 3, 4), (6, 5, 5, 2), (9, 8, 5, 3)],
)
@pytest.mark.parametrize("bias", [False, True])
def test_it_is_conv2d(height, width, kernel, dilation, bias, memory_format, monkeypatch):
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 3, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=bias)
    quick = nn.Sequential(nn.Conv2d(4, 3, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=bias))
    quick.load_state_dict({f"0.{k}": v for k, v in plain.state_dict().items()})
    assert use_fast_backward(quick) == 1 and isinstance(quick[0], DilatedDense)
    monkeypatch.setattr("labels2masks.training.dilated_dense.WORTHWHILE", 2.0)
    maps = torch.randn(2, 4, height, width).contiguous(memory_format=memory_format)
    one, other = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    slope = torch.randn(2, 3, height, width)
    expected, result = plain(one), quick.train()(other)
    assert type(result.grad_fn).__name__ != type(expected.grad_fn).__name__
    expected.backward(slope)
    result.backward(slope)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(other.grad, one.grad, atol=1e-5, rtol=1e-5)
    for a, b in zip(plain.parameters(), quick.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, atol=1e-4, rtol=1e-4)


def test_the_library_serves_where_most_taps_are_on_the_map_and_beyond_training():
    convolution = DilatedDense(1, 1, 3, padding=12, dilation=12)
    assert convolution._mostly_beside(30, 30) and not convolution._mostly_beside(60, 60)
    maps = torch.randn(1, 1, 30, 30)
    with torch.no_grad():
        assert torch.equal(convolution(maps), nn.Conv2d.forward(convolution, maps))
