"""Networks whose masks a person can work out: they look at colours only."""

import torch
from torch import nn

from labels2masks.grid import Grid


class ColourNet(nn.Module):
    """Class 0, 1, 2 = red, green, blue: scores are the mean colour of `stride` x `stride` cells."""

    def __init__(self, stride=1, smallest=1, working_size=None):
        super().__init__()
        self.classes, self.smallest, self.working_size, self.finite_field = 3, smallest, working_size, True
        self.grid = Grid.square(stride, stride / 2)
        self.stride = stride
        self.gain = nn.Parameter(torch.tensor(0.05))
        self.norm = nn.BatchNorm2d(3, affine=False)
        self.seen = []

    def forward(self, images_N3HW):
        height, width = images_N3HW.shape[2:]
        assert min(height, width) >= self.smallest
        self.seen.append((height, width, self.training))
        pad = (0, -width % self.stride, 0, -height % self.stride)
        padded = nn.functional.pad(images_N3HW, pad, mode="replicate") if any(pad) else images_N3HW
        return nn.functional.avg_pool2d(self.norm(padded), self.stride) * self.gain
