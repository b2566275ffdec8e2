"""SEC and What's the Point as the loss of a run: what a crop brings, what a step weighs."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from training.test_loop import fitted, fresh
from training.tiny import plan_for, settings

from labels2masks.cues.saliency import boundary_connectivity
from labels2masks.errors import UsageError
from labels2masks.kernels.upsample import upsample
from labels2masks.labels import Point, Points, Tags
from labels2masks.losses import photo_terms, pixel_terms
from labels2masks.losses.candidate_loss import candidate_loss
from labels2masks.training.batches import Crops, Stream, loader
from labels2masks.training.loop import Heads, step_loss
from labels2masks.training.objectness import objectness_in_crop

ALL = frozenset({"disc", "box"})
SEC = {"loss__seed": 1.0, "loss__expand": 1.0, "loss__constrain": 1.0}
WTP = {"loss__image": 1.0, "loss__point": 1.0, "loss__objectness": 1.0}
ALONE = {f"loss__{name}": 0.0 for name in ("mask", "ink", "region", "presence")}


@pytest.fixture(scope="module")
def clicked(photos):
    marks = (Point("disc", 20, 20), Point("background", 2, 2))
    labels = (Tags(frozenset({"disc"}), complete=ALL), Points(marks))
    return replace(photos, photos=tuple(replace(p, labels=labels) for p in photos))


@pytest.mark.parametrize("terms", [SEC, WTP])
def test_a_step_weighs_its_terms(clicked, terms):
    halved = {**terms, next(iter(terms)): 0.5}
    s = settings(**ALONE, **halved)
    crops = Crops(clicked.photos, s.augment, s.crop, None, {}, 0, s.loss)
    batch = next(loader(crops, Stream(12, 4, 0, 1, 0), 0))
    network = fresh()
    network.dropout.p = 0.0
    loss, parts = step_loss(Heads(network).train(), batch, s, None, torch.device("cpu"))
    images = batch.images_N3HW.float()
    scores = network.train()(images)
    weights = {name: getattr(s.loss, name) for name in type(s.loss).model_fields}
    full = upsample(scores, network.grid, *images.shape[2:])
    found = photo_terms(scores, network.grid, images, batch.labels, weights) | pixel_terms(full, batch.labels, weights)
    assert set(found) == {name.removeprefix("loss__") for name in terms}
    assert set(parts) == set(found) | set(candidate_loss(full, batch.labels))
    expected = sum(weights[name] * float((total / count).detach()) for name, (total, count) in found.items())
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("terms", [SEC, WTP])
def test_a_run_learns_by_them_alone(clicked, tmp_path, terms):
    plan = plan_for(clicked, 30, every=100, optimiser__rate=0.01, **ALONE, **terms)
    rows = []
    fitted(clicked, plan, tmp_path, tell=lambda step, row: rows.append(row))
    losses = [row["loss"] for row in rows]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_the_prior_of_objects_moves_with_its_crop(photos):
    s = settings(loss__objectness=1)
    with_it = Crops(photos.photos[:1], s.augment, s.crop, None, {}, 0, s.loss)[2, 0, True][0]
    without = Crops(photos.photos[:1], s.augment, s.crop, None, {}, 0)[2, 0, True][0]
    assert without.objectness_HW is None and (with_it.image_HW3 == without.image_HW3).all()
    assert with_it.objectness_HW.shape == (32, 48) and with_it.objectness_HW.dtype == np.float32
    image, _ = photos.photos[0].loaded()
    of_photo = boundary_connectivity(image)
    mirrored = np.array([[-1.0, 0, image.shape[1]], [0, 1, 0]])
    assert np.allclose(objectness_in_crop(image, mirrored, image.shape[:2]), of_photo[:, ::-1], atol=1e-5)
    beside = objectness_in_crop(image, np.array([[1.0, 0, 1000], [0, 1, 0]]), (32, 48))
    assert (beside == 0).all()
    still = np.zeros((*image.shape[:2], 2), np.float32)
    field = objectness_in_crop(image, np.eye(2, 3), image.shape[:2], still)
    assert np.allclose(field, of_photo, atol=1e-5)
    large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    shrunk = objectness_in_crop(large, np.array([[0.25, 0, 0], [0, 0.25, 0]]), image.shape[:2])
    assert np.corrcoef(shrunk.ravel(), of_photo.ravel())[0, 1] > 0.9


def test_objectness_needs_a_background(photos):
    photo, s = photos.photos[0], settings(loss__objectness=1)
    target = replace(photo.vocabulary.target, background=None)
    without = replace(photo, vocabulary=replace(photo.vocabulary, target=target))
    with pytest.raises(UsageError, match="which none of background, disc, box is"):
        Crops([without], s.augment, s.crop, None, {}, 0, s.loss)
