"""Views of a photo: scales, mirrors, windows; and how those of a recipe reach the verbs."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from conftest import write_tiny_dataset
from prediction.colour_net import RGB, ColourNet, colour_model
from prediction.test_model import colour_onnx
from prediction.test_tiles import picture

from labels2masks import networks
from labels2masks.errors import UsageError
from labels2masks.evaluation.evaluate import evaluate
from labels2masks.evaluation.sources import open_source
from labels2masks.formats.open import open_dataset
from labels2masks.grid import Grid
from labels2masks.networks.saved import describe, save_network
from labels2masks.prediction import load_model, predict_mask, predict_scores
from labels2masks.prediction.predict import predict
from labels2masks.prediction.sliding import sliding
from labels2masks.prediction.views import TTA_SCALES, Views, scores_on_grid, views_of

RECIPE = Views((0.5, 1.0), mirror=False)


class MeanNet(ColourNet):
    """Every cell gets the mean colour of the whole picture."""

    def forward(self, images_N3HW):
        scores_NChw = super().forward(images_N3HW)
        return scores_NChw.mean((2, 3), keepdim=True).expand_as(scores_NChw)


def test_what_is_asked_for():
    assert views_of(None, RECIPE) == RECIPE and views_of(False, RECIPE) == views_of(None) == Views()
    assert views_of(True, RECIPE) == Views(TTA_SCALES, mirror=True)
    assert views_of((1.0, 2.0)) == Views((1.0, 2.0), mirror=True) and views_of(RECIPE) is RECIPE
    assert str(Views()) == "one view" and str(RECIPE) == "scales 0.5, 1; averaged"
    for wrong in ({"scales": ()}, {"scales": (1.0, -1.0)}, {"window": 0}):
        with pytest.raises(ValueError, match="scales above 0 and a window"):
            Views(**wrong)


def test_scales_are_averaged_and_not_mirrored_unless_said():
    """A network that is sure by 0.2 of the photo and by 0.6 of the photo at half its size."""
    seen = []

    def forward(image_HW3):
        h, w = image_HW3.shape[0] // 4, image_HW3.shape[1] // 4
        seen.append((h, w))
        p = np.full((1, h, w), 0.2 if h == 6 else 0.6, np.float32)
        return np.log(np.concatenate([p, 1 - p]))

    grid, image_HW3 = Grid.square(4, 2), picture(24, 40)
    scores_2hw, found = scores_on_grid(forward, grid, image_HW3, tta=RECIPE)
    assert seen == [(6, 10), (3, 5)] and found == grid
    assert scores_2hw.shape == (2, 6, 10) and np.allclose(np.exp(scores_2hw[0]), 0.4)
    scores_on_grid(forward, grid, image_HW3, tta=replace(RECIPE, mirror=True))
    assert seen[2:] == [(6, 10), (6, 10), (3, 5), (3, 5)]
    [half_2hw, coarse] = scores_on_grid(forward, grid, image_HW3, tta=Views((0.5,)))
    assert coarse == Grid.square(8, 4) and np.allclose(np.exp(half_2hw[0]), 0.6)


@pytest.mark.parametrize("height, width", [(100, 75), (48, 121), (49, 48), (20, 30)])
def test_windows_overlap_by_a_third_and_miss_nothing(height, width):
    """What looks at single cells sees the same through windows of 48 as in one piece, up to rounding."""
    network, image_HW3 = ColourNet(8), picture(height, width)
    expected_CHW = predict_scores(network, image_HW3)
    network.seen.clear()
    assert np.allclose(predict_scores(network, image_HW3, Views(window=48)), expected_CHW, atol=1e-5)
    for axis, pixels in enumerate((height, width)):
        sides = [size[axis] for size in network.seen]
        assert min(pixels, 48) - 8 < min(sides) and max(sides) <= 48
    assert len(network.seen) == np.prod([1 + -(-max(n - 48, 0) // 32) for n in (height, width)])


def test_what_pools_over_the_image_pools_over_the_window():
    image_HW3 = np.zeros((16, 64, 3), np.uint8)
    image_HW3[:, :16, 0], image_HW3[:, 16:, 2] = 255, 255
    assert (predict_mask(MeanNet(4), image_HW3) == 2).all()
    mask_HW = predict_mask(MeanNet(4), image_HW3, Views(window=16))
    assert (mask_HW[:, :12] == 0).all() and (mask_HW[:, 24:] == 2).all()


def test_means_of_windows_are_weighted_by_how_many_saw_a_cell():
    """Three windows of 12 pixels, 8 apart, that report which one they are: 0, 1, 2 and means where two overlap."""
    count = iter((0.2, 0.4, 0.6))

    def forward(image_HW3):
        p = np.full((1, *image_HW3.shape[:2]), next(count), np.float32)
        return np.log(np.concatenate([p, 1 - p]))

    found_2HW = np.exp(sliding(forward, Grid(), 12)(np.zeros((5, 28, 3), np.uint8)))
    assert np.allclose(found_2HW[0, 0], [0.2] * 8 + [0.3] * 4 + [0.4] * 4 + [0.5] * 4 + [0.6] * 8)


def seen_by(model, act):
    """Sizes of the passes that `act` makes with the model."""
    sizes = []

    def forward(image_HW3):
        sizes.append(image_HW3.shape[:2])
        return model.forward(image_HW3)

    act(replace(model, forward=forward))
    return sizes


def test_the_views_of_a_recipe_travel_with_the_file(tmp_path):
    torch.manual_seed(0)
    network = networks.build("linear", 3, encoder="mobilenetv3_small_050").eval()
    info = {"network": "linear", "encoder": "mobilenetv3_small_050", "classes": RGB}
    plain = load_model(save_network(tmp_path / "old.safetensors", network, info), "cpu")
    assert plain.views == Views()  # a file from before there were any
    info["inference"] = asdict(RECIPE)
    model = load_model(save_network(tmp_path / "model.safetensors", network, info), "cpu")
    header = {"inference": describe(network, model.info)["inference"]}  # as an export has it
    onnx = load_model(colour_onnx(tmp_path / "model.onnx", working_size=None, **header))
    image_HW3 = picture(64, 96)
    for kept in (model, onnx):
        assert kept.views == RECIPE
        assert seen_by(kept, lambda m: m.predict_mask(image_HW3)) == [(64, 96), (32, 48)]
        assert seen_by(kept, lambda m: m.predict_confidence(image_HW3, False)) == [(64, 96)]
        assert len(seen_by(kept, lambda m: m.predict_scores(image_HW3, True))) == 6


def test_predict_and_evaluate_follow_the_recipe_unless_told_otherwise(tmp_path):
    data = open_dataset(write_tiny_dataset(tmp_path / "data", photos=6))
    model = replace(colour_model(tmp_path / "run", classes=data.classes), views=RECIPE)
    for tta, views in ((None, 2), (False, 1), (True, 6)):
        out = tmp_path / str(tta)
        passes = seen_by(model, lambda m: predict(m, data, out, tta=tta, threads=1))  # noqa: B023
        assert len(passes) == 6 * views
        passes = seen_by(model, lambda m: evaluate(m, data, "val", tta=tta, threads=1))  # noqa: B023
        assert len(passes) == 2 * views
        shown = evaluate(model, data, "val", tta=tta)["protocol"]["tta"]
        assert shown == str(views_of(tta, RECIPE)) == open_source(out, data).card["tta"]
    assert json.loads((tmp_path / "None/prediction.json").read_text())["tta"] == "scales 0.5, 1; averaged"
    assert json.loads((tmp_path / "True/prediction.json").read_text())["tta"] is True  # as older folders have it
    with pytest.raises(UsageError, match="this model, but not with scales 0.5, 1; averaged; name another"):
        predict(model, data, tmp_path / "True")
