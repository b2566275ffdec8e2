"""Tiles give what the whole photo gives, at any stride, size and layout, and hold little of it at a time."""

import cv2
import numpy as np
import pytest
import torch
from prediction.colour_net import ColourNet, colour_model
from prediction.test_model import colour_onnx
from torch import nn

from labels2masks import networks
from labels2masks.formats.image import read_mask
from labels2masks.grid import Grid
from labels2masks.prediction import load_model, predict_mask, tiles
from labels2masks.prediction.network import passes
from labels2masks.prediction.predict import predict
from labels2masks.prediction.tiles import Seams, confidence_of, mask_of, probabilities_of, score_blocks


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    sizes(monkeypatch, 256, 64, 32)


def sizes(monkeypatch, tile, context, ramp):
    for name, value in (("TILE", tile), ("CONTEXT", context), ("RAMP", ramp)):
        monkeypatch.setattr(tiles, name, value)


def picture(height, width, channels=3):
    noise = np.random.default_rng(height * width).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)


def blurred(stride, field):
    """A forward pass that sees `field` pixels round each pixel, zeros beyond the photo, and the mean of each cell."""

    def forward(image_HW3):
        height, width = image_HW3.shape[:2]
        seen_HW3 = cv2.blur(image_HW3.astype(np.float32), (field, field), borderType=cv2.BORDER_CONSTANT)
        h, w = -(-height // stride), -(-width // stride)
        seen_HW3 = cv2.copyMakeBorder(seen_HW3, 0, h * stride - height, 0, w * stride - width, cv2.BORDER_REPLICATE)
        return seen_HW3.reshape(h, stride, w, stride, 3).mean(axis=(1, 3)).transpose(2, 0, 1)

    return forward


def whole(monkeypatch, act):
    """What `act` gives where no photo is too large."""
    with monkeypatch.context() as patch:
        patch.setattr(tiles, "TILE", 10**6)
        return act()


@pytest.mark.parametrize("stride, field", [(1, 65), (4, 127), (24, 65), (32, 65)])
@pytest.mark.parametrize("height, width, count", [(420, 500, 12), (257, 300, 4), (60, 300, 2)])
def test_inside_the_field_tiles_are_the_whole_photo(monkeypatch, stride, field, height, width, count):
    image_HW3, forward, grid = picture(height, width), blurred(stride, field), Grid.square(stride, stride / 2)
    seams = Seams()
    blocks = list(score_blocks(forward, grid, image_HW3, seams=seams))
    assert len(blocks) == seams.tiles == count and seams.cells > 0 and seams.differing == 0
    [one] = whole(monkeypatch, lambda: list(score_blocks(forward, grid, image_HW3)))
    found_CHW, expected_CHW = probabilities_of(blocks, height, width), probabilities_of([one], height, width)
    assert np.allclose(found_CHW, expected_CHW, atol=2e-5)
    for found, expected in zip(confidence_of(blocks, height, width), confidence_of([one], height, width), strict=True):
        assert (np.abs(found - expected) < 2e-5).mean() > 0.9999
    covered_HW = np.zeros((height, width), int)
    for block in blocks:
        covered_HW[block.place] += 1
    assert (covered_HW == 1).all()


def test_beyond_the_field_scores_fade_and_the_seams_say_so():
    """A network that reports the tile it is in: no cell jumps from one tile's value to the next one's."""
    count = iter(range(100))

    def forward(image_HW3):
        value = next(count)
        return np.stack(
            [np.full(image_HW3.shape[:2], value, np.float32), np.full(image_HW3.shape[:2], 0.5, np.float32)]
        )

    seams = Seams()
    blocks = score_blocks(forward, Grid(), picture(200, 300), seams=seams)
    row_W = np.concatenate([block.scores_Chw[0, 0] for block in blocks])
    assert row_W[0] == 0 and row_W[-1] == 1 and np.abs(np.diff(row_W)).max() < 2 / tiles.RAMP
    assert seams.differing == seams.cells > 0  # 0 here and 1 there, against 0.5


@pytest.mark.parametrize("tta", [False, True])
def test_a_shrunk_photo_and_views_at_scales(monkeypatch, tta):
    network, image_HW3 = ColourNet(8, 16, working_size=400), picture(500, 620)
    found_HW = predict_mask(network, image_HW3, tta)
    assert len(network.seen) > 2
    expected_HW = whole(monkeypatch, lambda: predict_mask(network, image_HW3, tta))
    assert found_HW.shape == (500, 620) and (found_HW == expected_HW).mean() > (0.9 if tta else 0.9999)


def test_a_network_of_convolutions_at_the_borders_too(monkeypatch):
    """ResNet-18 sees 218 pixels to each side; its padding at the photo's borders is that of the whole photo."""
    sizes(monkeypatch, 640, 224, 64)
    torch.manual_seed(0)
    network = networks.build("linear", 3, encoder="resnet18").eval()
    assert network.finite_field
    image_HW3 = picture(200, 901)
    run, pooling = passes(network)
    assert pooling is None
    blocks = list(score_blocks(run, network.grid, image_HW3))
    assert len(blocks) == 4
    [one] = whole(monkeypatch, lambda: list(score_blocks(run, network.grid, image_HW3)))
    found_CHW, expected_CHW = probabilities_of(blocks, 200, 901), probabilities_of([one], 200, 901)
    assert np.allclose(found_CHW, expected_CHW, atol=1e-5)


class Pooling(nn.Module):
    """Looks two pixels far, and at the mean of the image."""

    smallest, working_size, finite_field, grid, classes = 1, None, False, Grid(), 3

    def __init__(self):
        super().__init__()
        self.near, self.far = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, images_N3HW):
        maps_NDhw = torch.relu(self.near(images_N3HW / 255))
        return self.last(maps_NDhw * self.gate(maps_NDhw) * 10)


def test_what_pools_over_the_image_pools_over_the_whole_of_it(monkeypatch):
    torch.manual_seed(0)
    network, image_HW3 = Pooling().eval(), picture(300, 500)
    image_HW3[:, 250:] //= 4  # so that no tile has the photo's mean
    run, pooling = passes(network)
    [one] = whole(monkeypatch, lambda: list(score_blocks(run, network.grid, image_HW3)))
    at_full_size = list(score_blocks(run, network.grid, image_HW3, whole=lambda _: pooling(image_HW3)))
    expected_CHW = probabilities_of([one], 300, 500)
    assert np.allclose(probabilities_of(at_full_size, 300, 500), expected_CHW, atol=1e-5)
    told, alone = (score_blocks(run, network.grid, image_HW3, whole=w) for w in (pooling, None))
    error_told, error_alone = (np.abs(probabilities_of(b, 300, 500) - expected_CHW).max() for b in (told, alone))
    assert error_told < error_alone / 2
    assert (predict_mask(network, image_HW3) == mask_of([one], 300, 500)).mean() > 0.98


@pytest.mark.parametrize("encoder", ["mobilenetv3_small_050", "convnextv2_atto"])
def test_pooling_is_found_in_squeeze_and_excitation_and_response_normalisation(encoder):
    torch.manual_seed(0)
    network = networks.build("deeplab_v3plus", 3, encoder=encoder).eval()
    if encoder.startswith("convnextv2"):  # response normalisation begins as the identity
        with torch.no_grad():
            for name, value in network.named_parameters():
                if "grn" in name:
                    value.normal_()
    run, pooling = passes(network)
    image_HW3 = picture(96, 160)
    of_whole = pooling(image_HW3)
    assert np.array_equal(of_whole(image_HW3), run(image_HW3))
    tile_HW3 = np.ascontiguousarray(image_HW3[:, :96])
    assert not np.allclose(of_whole(tile_HW3), run(tile_HW3), rtol=1e-3)


def test_the_verb_and_an_onnx_file_take_tiles_by_themselves(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    image_HW3 = picture(300, 400)
    cv2.imwrite(str(tmp_path / "large.png"), image_HW3[..., ::-1])
    cv2.imwrite(str(tmp_path / "small.png"), image_HW3[:50, :60, ::-1])
    expected_HW = image_HW3.argmax(axis=2)
    onnx = load_model(colour_onnx(tmp_path / "m.onnx", working_size=None))
    for model in (onnx, colour_model(tmp_path / "run")):
        out = tmp_path / f"out-{model.path.suffix}"
        result = predict(model, [tmp_path / "large.png", tmp_path / "small.png"], out)
        assert (result["in_tiles"], result["differing_share"]) == (1, 0)
        assert (read_mask(out / "large.png") == np.array([0, 8, 10])[expected_HW]).all()
        mask_HW, _ = model.predict_confidence(image_HW3)
        assert (mask_HW == expected_HW).all() and mask_HW.dtype == np.int32
    assert predict(onnx, tmp_path / "small.png", tmp_path / "small")["differing_share"] is None


@pytest.mark.parametrize("height, width", [(9_000, 12_000), (2_048, 2_049), (1, 178_000)])
def test_large_photos_are_seen_in_linearly_many_tiles(monkeypatch, height, width):
    """The layout of the real constants: aligned, overlapping by the context, and at most 2.3 times the pixels."""
    monkeypatch.undo()
    areas = []
    for stride in (1.0, 4.0, 14.0, 32.0):
        rows, columns = (tiles._spans(pixels, stride, stride / 2) for pixels in (height, width))
        for spans, pixels in ((rows, height), (columns, width)):
            assert spans[0].start == 0 and spans[-1].end == pixels
            assert all(s.start % stride == 0 and s.start % 32 == 0 and s.end - s.start <= tiles.TILE for s in spans)
            for one, other in zip(spans, spans[1:], strict=False):
                assert one.end - other.start >= 2 * tiles.CONTEXT + tiles.RAMP
                assert other.first + 1 == one.final and one.last <= other.final
        areas.append(sum(r.end - r.start for r in rows) * sum(c.end - c.start for c in columns))
    assert max(areas[0], areas[1]) < 2.3 * height * width + tiles.TILE**2
