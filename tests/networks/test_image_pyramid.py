"""One network at several scales: where scores meet, how they are fused, what is trained."""

from __future__ import annotations

import pytest
import torch
from contracts import network_contract, photos
from torch import Tensor, nn

from labels2masks import networks
from labels2masks.errors import UsageError
from labels2masks.grid import Grid
from labels2masks.networks.image_pyramid import ImagePyramid, at_scales, on_first, pyramid_of, resized


class Brightness(nn.Module):
    """Scores are the photo's red, and its negative, at every pixel."""

    name, encoder_name, settings = "brightness", None, {}
    classes, grid, smallest, working_size, finite_field = 2, Grid(), 1, None, True

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return torch.cat([images_N3HW[:, :1], -images_N3HW[:, :1]], dim=1)

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.2, 2.0])
@pytest.mark.parametrize("size", [(24, 32), (25, 33)])
def test_a_slope_stays_where_it_is_at_every_scale(scale: float, size: tuple[int, int]) -> None:
    """Brightness that grows evenly is the same after shrinking and enlarging, away from the border."""
    y, x = torch.meshgrid(torch.arange(float(size[0])), torch.arange(float(size[1])), indexing="ij")
    images = (3 * x + 5 * y).expand(1, 3, *size)
    one, other = on_first([h[0] for h in at_scales(Brightness().training_scores, images, (1, scale))])
    assert one.shape == other.shape
    assert torch.allclose(one[:, :, 3:-3, 3:-3], other[:, :, 3:-3, 3:-3], atol=1e-3)


def test_resized_has_whole_pixels_for_every_part_of_the_photo() -> None:
    for pixels, expected in ((1, 1), (2, 1), (3, 2), (96, 48), (97, 49)):
        assert resized(torch.rand(1, 3, pixels, pixels), 0.5).shape == (1, 3, expected, expected)
    assert resized(torch.rand(1, 3, 513, 321), 0.75).shape == (1, 3, 385, 241)


def test_equal_scales_are_one_scale() -> None:
    torch.manual_seed(0)
    network = networks.build("deeplab_v3", 3, "test_resnet").eval()
    with torch.inference_mode():
        alone = network(photos(40, 56))
        assert torch.equal(ImagePyramid(network, (1, 1, 1))(photos(40, 56)), alone)
        torch.manual_seed(1)
        attention = ImagePyramid(network, (1, 1, 1), "attention").eval()
        assert torch.allclose(attention(photos(40, 56)), alone, atol=1e-5)


def test_the_largest_score_wins() -> None:
    images = torch.zeros(1, 3, 8, 8)
    images[:, :, 3, 4] = 8  # one bright pixel, a quarter as bright in the photo of half the size
    scores = ImagePyramid(Brightness(), (1, 0.5))(images)
    assert scores[0, 0, 3, 4] == 8 and scores[0, 0, 3, 5] > 0 and scores[0, 1, 3, 4] > -8


def test_attention_turns_to_one_scale() -> None:
    torch.manual_seed(0)
    network = pyramid_of(3, "test_resnet", scales=(1, 0.5), fusion="attention").eval()
    nn.init.zeros_(network.attention[-1].weight)
    with torch.inference_mode():
        network.attention[-1].bias.copy_(torch.tensor([-50.0, 50.0]))
        (_, fused, grid), (_, one, _), (_, half, grid_half) = network.training_scores(photos(64, 96))
        expected = on_first([(1.0, one, grid), (1.0, half, grid_half)])[1]
        assert torch.allclose(fused, expected, atol=1e-5) and not torch.allclose(fused, one, atol=1e-3)


def test_every_scale_and_every_head_is_trained() -> None:
    network = ImagePyramid(networks.build("pspnet", 3, "test_resnet"), (1, 0.5)).eval()
    with torch.inference_mode():
        heads = network.training_scores(photos(64, 96))
    assert [(weight, grid.stride_y) for weight, _, grid in heads] == [(1, 8), (1, 8), (1, 16), (0.4, 8), (0.4, 16)]


def test_attention_passes_the_contract(tmp_path) -> None:
    def make(classes: int) -> nn.Module:
        return networks.build("image_pyramid", classes, "test_resnet", settings={"fusion": "attention"})

    network_contract(make, tmp_path, [(33, 47), (64, 96)])


def test_what_can_not_be_is_said() -> None:
    for name in ("fcn8s", "deeplab_v1_msc", "parsenet"):
        with pytest.raises(UsageError, match=f"{name} has none: take fusion 'max'"):
            pyramid_of(3, "test_resnet", network=name, fusion="attention")
    with pytest.raises(UsageError, match="begin with 1"):
        ImagePyramid(Brightness(), (0.5, 1))
    with pytest.raises(UsageError, match="got 'mean'"):
        ImagePyramid(Brightness(), fusion="mean")  # type: ignore[arg-type]
