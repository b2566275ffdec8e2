"""Networks whose masks a person can work out: they look at colours only."""

import torch
from torch import nn

from labels2masks.classes import Classes
from labels2masks.grid import Grid
from labels2masks.prediction.model import Model
from labels2masks.prediction.network import forward

RGB = Classes(("red", "green", "blue"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)), "red", file_ids=(0, 8, 10))


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


def colour_model(folder, classes=None, stride=1, **sizes):
    """The same network as a loaded model; its file is a stand-in that only its hash is taken of."""
    path = folder / "model.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"colour net, stride %d" % stride)
    network = ColourNet(stride, **sizes).eval()

    def run(image_HW3):
        with torch.inference_mode():
            return forward(network, image_HW3)

    return Model(classes or RGB, {}, run, network.grid, network.smallest, network.working_size, path)
