"""The instant recipe: an ordinary run in closed form, from every kind of label."""

import numpy as np
import pytest
import torch
from conftest import write_tiny_dataset

import labels2masks as l2m
from labels2masks.classes import Classes, Vocabulary
from labels2masks.cues.features import CELLS, FrozenFeatures
from labels2masks.errors import DataError, UsageError
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.labels import AreaShares, Box, Boxes, Points, Tags
from labels2masks.labels.kinds import Point
from labels2masks.networks.linear import Linear
from labels2masks.prediction.views import resampled
from labels2masks.training.instant import _fill
from labels2masks.training.ridge import TEMPERATURE


def run(data, out, **options):
    return l2m.train(data, recipe="instant", train="train", val="val", out=out, no_photos=True, **options)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return l2m.open(write_tiny_dataset(tmp_path_factory.mktemp("instant") / "tiny"))


def cheaper(data, kind):
    """The training photos with labels of one kind in place of their masks."""
    photos = []
    for photo in data.photos:
        if photo.name in data.splits["train"]:
            ids_HW = photo.labels_loaded()[0].ids_HW
            places = {n: np.argwhere(ids_HW == i) for n, i in (("disc", 1), ("box", 2)) if (ids_HW == i).any()}
            everywhere = {**places, "background": np.argwhere(ids_HW == 0)}
            clicked = [(n, yx) for n, p in everywhere.items() for yx in p[:: max(len(p) // 6, 1)]]
            hulls = [Box.upright(n, *p.min(axis=0)[::-1], *(p.max(axis=0)[::-1] + 1)) for n, p in places.items()]
            everything = frozenset(data.classes.foreground)
            label = {
                "tags": Tags(frozenset(places), complete=everything),
                "clicks": Points(tuple(Point(n, x + 0.5, y + 0.5) for n, (y, x) in clicked)),
                "boxes": Boxes(tuple(hulls), everything),
            }[kind]
            photo = Photo(photo.name, photo.image, (label,), photo.vocabulary)
        photos.append(photo)
    return Dataset(data.classes, tuple(photos), data.splits, data.root)


def test_masks_are_learnt_and_the_run_is_an_ordinary_one(data, tmp_path):
    made = run(data, tmp_path / "run")
    assert made.metrics["miou"] > 0.5
    again = run(data, tmp_path / "again")
    assert (tmp_path / "run/model.safetensors").read_bytes() == (again.folder / "model.safetensors").read_bytes()
    mask_HW = made.predict(data.photos[0].image)
    assert set(np.unique(mask_HW)) <= {0, 1, 2} and made.report().exists()


@pytest.mark.parametrize("kind, least", [("clicks", 0.3), ("boxes", 0.35)])
def test_cheaper_labels_are_learnt_too(data, tmp_path, kind, least):
    assert run(cheaper(data, kind), tmp_path / "run").metrics["miou"] > least


def test_the_network_says_what_the_regression_found():
    torch.manual_seed(0)
    network = Linear(3).eval()
    features = FrozenFeatures(network.encoder)
    solved_DC = np.random.default_rng(0).normal(size=(features.count, 3)).astype(np.float32)
    _fill(network, solved_DC)
    image_HW3 = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    with torch.inference_mode():
        scores_Chw = network(torch.from_numpy(image_HW3).permute(2, 0, 1)[None].float())[0].numpy()
    expected_Chw = (features(image_HW3) @ solved_DC / TEMPERATURE).transpose(2, 0, 1)
    seen_Chw = resampled(scores_Chw, network.grid, CELLS, *expected_Chw.shape[1:])
    # Enlarged to stride 4 and read at stride 8: a little smoother than read at stride 8 at once, not another thing.
    for seen, expected in zip(seen_Chw, expected_Chw, strict=True):
        assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.98
        assert abs(seen.mean() - expected.mean()) < 0.1 * expected.std()


def test_labels_that_say_nothing_of_pixels_are_refused(data, tmp_path):
    photo = data.photos[0]
    classes = Classes(("background", "disc", "box"), background="background")
    shares = Photo("a", photo.image, (AreaShares({"disc": 0.5}),), Vocabulary.same(classes))
    nothing = Dataset(classes, (shares,), {"train": ("a",)})
    with pytest.raises(DataError, match="decide and narrow nothing"):
        l2m.train(nothing, recipe="instant", train="train", val="none", out=tmp_path / "run")


def test_another_network_is_refused(data, tmp_path):
    with pytest.raises(UsageError, match="fits the network 'linear'"):
        run(data, tmp_path / "run", network="fcn8s", encoder="tf_efficientnet_lite0")
