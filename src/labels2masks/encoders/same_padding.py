"""TensorFlow's "same" padding depends on the input size; here it becomes the constant it has at whole strides.

timm's `Conv2dSame` (every `tf_*` encoder) pads so that n pixels become ceil(n / stride) cells: 224 and 225
pixels get other paddings, and the same cell moves by up to 15 pixels at stride 16. Encoders here are given
whole multiples of their stride, and there the padding is always (k - 1) d + 1 - stride, of which the smaller
half goes first. With that as a constant the results are bit-equal and the Grid no longer moves.
"""

from __future__ import annotations

from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F


class Conv2dPadded(nn.Conv2d):
    """A convolution with its own padding on each side; same parameter names as `nn.Conv2d`."""

    def __init__(self, like: nn.Conv2d) -> None:
        super().__init__(
            like.in_channels,
            like.out_channels,
            like.kernel_size,  # type: ignore[arg-type]
            like.stride,  # type: ignore[arg-type]
            dilation=like.dilation,  # type: ignore[arg-type]
            groups=like.groups,
            bias=like.bias is not None,
            device="meta",
        )
        self.weight, self.bias = like.weight, like.bias
        top, bottom = _at_whole_strides(like.kernel_size[0], like.stride[0], like.dilation[0])
        left, right = _at_whole_strides(like.kernel_size[1], like.stride[1], like.dilation[1])
        if (top, left) == (bottom, right):
            self.padding, self.more = (top, left), None
        else:
            self.more = (left, right, top, bottom)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input if self.more is None else F.pad(input, self.more))


def with_constant_padding(module: nn.Module) -> nn.Module:
    """Replace every `Conv2dSame` inside, keeping parameters and their names."""
    for name, child in module.named_children():
        if isinstance(child, Conv2dSame):
            setattr(module, name, Conv2dPadded(child))
        else:
            with_constant_padding(child)
    return module


def _at_whole_strides(kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max((kernel - 1) * dilation + 1 - stride, 0)
    return total // 2, total - total // 2
