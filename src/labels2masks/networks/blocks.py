"""The few layers that several papers share."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from ..grid import Grid
from ..kernels.upsample import upsample

Network = TypeVar("Network", bound=nn.Module)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that uses its running statistics where a batch has one value per channel.

    That is a globally pooled map in a batch of one: its own mean would turn every value into the bias.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0, self.eps)
        return super().forward(input)


def conv_bn_relu(ins: int, outs: int, kernel: int = 1, dilation: int = 1, groups: int = 1) -> nn.Sequential:
    """Same-padded convolution without bias, batch normalisation, ReLU."""
    padding = (kernel - 1) // 2 * dilation
    return nn.Sequential(
        nn.Conv2d(ins, outs, kernel, padding=padding, dilation=dilation, groups=groups, bias=False),
        BatchNorm(outs),
        nn.ReLU(inplace=True),
    )


def separable_conv(ins: int, outs: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    """Depthwise, then pointwise convolution, each with batch normalisation and ReLU (Xception, DeepLab v3+)."""
    return nn.Sequential(conv_bn_relu(ins, ins, kernel, dilation, groups=ins), conv_bn_relu(ins, outs))


def enlarge(maps_NDhw: Tensor, grid: Grid, like: Tensor, grid_like: Grid) -> Tensor:
    """A map on `grid` at the cells of `like`, a map on `grid_like`: by coordinates, not by corners."""
    return upsample(maps_NDhw, grid.in_cells_of(grid_like), like.shape[2], like.shape[3])


def initialise(module: nn.Module, classifier: nn.Conv2d) -> None:
    """He et al. 2015 for convolutions before a ReLU; the classifier as torch starts one, without a bias.

    Smaller classifiers, as of DeepLab's releases (0.01), are for long runs: on 16 channels their scores grow so slowly
    that after 120 steps a U-Net knew little but the shares of the classes.

    Of depthwise filters torch counts the outputs of all groups, which makes them a tenth of the 0.33 of DeepLab v3+'s
    release. The batch normalisation behind each takes the factor out; what is left is that they learn faster at first.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    classifier.reset_parameters()
    if classifier.bias is not None:
        nn.init.zeros_(classifier.bias)


def published(name: str, network: Network, **settings: Any) -> Network:
    """A family in the form of a paper: under the paper's name, with no encoder, and no setting but these to choose."""
    network.name, network.encoder_name, network.settings = name, None, settings  # type: ignore[assignment]
    return network
