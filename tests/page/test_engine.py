"""The instant model behind the page: a change is one refit, and an undone change is none."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from conftest import write_tiny_dataset
from page.told import Told
from PIL import Image

import labels2masks as l2m
from labels2masks.cues import features as cue
from labels2masks.labels import Box, Boxes, Point, Points, Tags
from labels2masks.page import features
from labels2masks.page.elsewhere import lines_of
from labels2masks.page.engine import Engine
from labels2masks.page.features import Maps, Store
from labels2masks.page.fit import INK, SHRINKAGE, Fit, Said
from labels2masks.page.shown import SURE, UNDECIDED, masked
from labels2masks.prediction.views import resized

ENCODER = "mobilenetv3_small_050"


class Photos:
    """The part of a project that the engine asks for; labels are exchanged by the tests."""

    def __init__(self, folder, photos, classes):
        self.private, self.classes, self._photos, self.done = folder / ".page", classes, list(photos), set()

    def __len__(self):
        return len(self._photos)

    def photo(self, i):
        return self._photos[i]

    def size(self, i):
        with Image.open(self._photos[i].image) as image:
            return image.height, image.width

    def pixels(self, i, longest=None):
        image_HW3 = np.array(Image.open(self._photos[i].image).convert("RGB"))
        scale = min(1, (longest or 10_000) / max(image_HW3.shape))
        return resized(image_HW3, *(round(scale * side) for side in image_HW3.shape[:2]))

    def checked(self, i):
        return i in self.done

    def say(self, i, *labels):
        self._photos[i] = replace(self._photos[i], labels=labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_dataset(tmp_path_factory.mktemp("engine") / "tiny", photos=6)


@pytest.fixture(scope="module")
def data(folder):
    return l2m.open(folder)


@pytest.fixture(scope="module")
def clicks(data):
    """For each photo clicks that are true, some of every class."""
    made = []
    for photo in data.photos:
        ids_HW = photo.labels_loaded()[0].ids_HW
        marks = []
        for c, name in enumerate(("background", "disc", "box")):
            places = np.argwhere(ids_HW == c)
            marks += [Point(name, x + 0.5, y + 0.5) for y, x in places[:: max(len(places) // 8, 1)]]
        made.append(Points(tuple(marks)))
    return made


@pytest.fixture
def begun(folder, data):
    """Begin an engine over photos without labels; features are computed by the first test, found by the others."""
    engines = []

    def begin(photos=None, private=None):
        unlabelled = photos or [replace(p, labels=()) for p in data.photos]
        project, told = Photos(private or folder, unlabelled, data.classes), Told()
        engine = Engine(project, ENCODER, "none", told)
        engines.append(engine)
        engine.start()
        told.wait(lambda: engine.features["done"] == engine.features["total"])
        return engine, project, told

    yield begin
    for engine in engines:
        engine.stop()


def change(engine, project, told, i, *labels):
    """Exchange the labels of a photo; returns when the model has them."""
    project.say(i, *labels)
    before = engine.model["version"]
    engine.changed(i)
    told.wait(lambda: engine.model["version"] > before)


def test_maps_say_at_every_cell_what_the_cue_says(data):
    from labels2masks.encoders import build_encoder

    frozen = cue.FrozenFeatures(build_encoder(ENCODER))
    image_HW3, _ = data.photos[0].loaded()
    expected_hwD = frozen(image_HW3)
    import torch

    with torch.inference_mode():
        found = frozen.encoder(torch.from_numpy(image_HW3).permute(2, 0, 1)[None].float())
    levels = tuple(found[i][0].permute(1, 2, 0).numpy() for i in frozen.levels)
    maps = Maps(*image_HW3.shape[:2], levels, tuple(frozen.encoder.grids[i] for i in frozen.levels))
    assert features.CELLS == cue.CELLS and maps.features == frozen.count
    features_PD = maps.all()
    np.testing.assert_allclose(features_PD.reshape(expected_hwD.shape), expected_hwD, atol=1e-4)
    weights_DC = np.random.default_rng(0).normal(size=(frozen.count, 3)).astype(np.float32)
    np.testing.assert_allclose(maps.scores(weights_DC), (expected_hwD @ weights_DC).transpose(2, 0, 1), atol=1e-2)


def random_photo(rng, said):
    levels = tuple(rng.normal(size=(h, w, d)).astype(np.float32) for h, w, d in ((12, 16, 5), (6, 8, 7)))
    grids = cue.CELLS, cue.CELLS.after(2, 2)
    return Maps(96, 128, levels, grids), Said.by(said)


def test_exchanged_labels_leave_nothing_behind(data, clicks):
    """Any order of changes gives, bit for bit, the weights of a fit from scratch; those are the recipe's."""
    from labels2masks.training.instant import joined, of_source
    from labels2masks.training.ridge import Sums, candidates_at, targets

    rng = np.random.default_rng(0)
    said = [
        candidates_at(replace(p, labels=(c, Tags(frozenset({"disc"}), frozenset({"box"})))), (48, 64), (96, 128))
        for p, c in zip(data.photos, clicks, strict=True)
    ]
    made = [random_photo(rng, s) for s in said]
    maps_of = [maps for maps, _ in made].__getitem__
    fit = Fit(13, data.classes, maps_of)
    for i in range(4):
        fit.put(i, made[i][1])
    before_DC = fit.weights()
    fit.put(5, made[5][1])
    fit.put(2, made[4][1])
    assert (fit.weights() != before_DC).any()
    fit.put(5, None)
    fit.put(2, made[2][1])
    assert (fit.weights() == before_DC).all()
    scratch = Fit(13, data.classes, maps_of)
    for i in (3, 1, 0, 2):
        scratch.put(i, made[i][1])
    assert (scratch.weights() == before_DC).all()
    sums = [Sums.none(13, 3) for _ in range(2)]
    for i in range(4):
        for total, of_ink in zip(sums, (False, True), strict=True):
            total.add(made[i][0].all(), *targets(of_source(said[i], of_ink)))
    np.testing.assert_allclose(before_DC, joined(*sums, INK).solved(SHRINKAGE), atol=2e-4)


def test_a_click_changes_the_model_and_undo_gives_the_mask_back(begun, clicks):
    engine, project, told = begun()
    assert engine.model["version"] == 0
    index_HW, confidence_HW = engine.mask(0, 512)
    assert index_HW.shape == (48, 64) and (index_HW == UNDECIDED).all() and confidence_HW.dtype == np.uint8
    for i in range(3):
        change(engine, project, told, i, clicks[i])
    before = engine.mask(0, 512)
    ids_HW = project._photos[0].vocabulary and l2m.open(project.private.parent).photos[0].labels_loaded()[0].ids_HW
    seen_HW = (ids_HW != 255) & (before[0] != UNDECIDED)
    assert (before[0] == ids_HW)[seen_HW].mean() > 0.8 and seen_HW.mean() > 0.3
    change(engine, project, told, 4, clicks[4])
    assert (engine.mask(0, 512)[1] != before[1]).any()
    change(engine, project, told, 4)
    after = engine.mask(0, 512)
    assert (after[0] == before[0]).all() and (after[1] == before[1]).all()


def test_what_the_labels_exclude_is_never_shown(begun, clicks):
    engine, project, told = begun()
    change(engine, project, told, 1, clicks[1])
    tags = Tags(frozenset({"disc"}), frozenset({"box"}))
    change(engine, project, told, 0, tags, Points((Point("background", 30.5, 20.5),)))
    for shown in (engine.mask(0, 512), engine.sharpened(0, "crf"), engine.sharpened(0, "grabcut")):
        index_HW, confidence_HW = shown
        assert index_HW.shape == (48, 64) and not (index_HW == 2).any()
        assert index_HW[20, 30] == 0 and confidence_HW[20, 30] == 255
    with pytest.raises(l2m.UsageError, match="did you mean 'grabcut'"):
        engine.sharpened(0, "grabcutt")


def test_the_least_sure_photo_that_is_not_checked_comes_next(begun, clicks):
    engine, project, told = begun()
    assert (engine.next(None), engine.next(2), engine.next(5)) == (0, 3, 0) and engine.confidence(0) is None
    change(engine, project, told, 0, clicks[0])
    told.wait(lambda: sum(n == "model" and len(v["photos"]) == 6 for n, v in told.events))
    sure = [engine.confidence(i) for i in range(6)]
    assert all(0 < s <= 1 for s in sure)
    order = sorted(range(6), key=lambda i: sure[i])
    assert engine.next(None) == order[0] and engine.next(order[0]) == order[1]
    project.done = set(order[:2])
    assert engine.next(None) == order[2]
    project.done = set(range(6))
    assert engine.next(None) is None


def test_a_hundred_changes_are_few_fits_and_the_newest_wins(begun, clicks):
    engine, project, told = begun()
    change(engine, project, told, 1, clicks[1])
    for n in range(1, 101):
        project.say(0, Points(clicks[0].marks[: n % len(clicks[0].marks) or None]))
        engine.changed(0)
    project.say(0, clicks[0])
    engine.changed(0)
    time.sleep(0.5)
    told.wait(lambda: engine.model["photos"] == 2)
    assert engine.model["version"] < 60
    newest = engine.mask(2, 96)
    other, others, heard = begun()
    for i in (0, 1):
        change(other, others, heard, i, clicks[i])
    assert all((a == b).all() for a, b in zip(newest, other.mask(2, 96), strict=True))


def test_tags_and_boxes_alone_find_what_stands_out(begun, data):
    engine, project, told = begun()
    for i in range(6):
        ids_HW = data.photos[i].labels_loaded()[0].ids_HW
        hulls = []
        for name, c in (("disc", 1), ("box", 2)):
            y, x = np.nonzero(ids_HW == c)
            if len(y):
                hulls.append(Box.upright(name, x.min(), y.min(), x.max() + 1, y.max() + 1))
        project.say(i, Boxes(tuple(hulls), frozenset({"disc", "box"})))
        engine.changed(i)
    told.wait(lambda: engine.model["photos"] == 6 and "alone" in engine.model["message"])
    index_HW, _ = engine.mask(0, 512)
    assert {1, 2} & set(np.unique(index_HW))


def test_features_are_found_again_and_an_unreadable_photo_is_named(tmp_path, data, begun):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    photos = [replace(p, labels=()) for p in data.photos[:2]]
    photos.insert(1, replace(photos[0], name="broken", image=broken))
    engine, _, told = begun(photos, tmp_path)
    assert list(engine.skipped) == [1] and "broken.png" in engine.skipped[1] and engine.mask(1, 96) is None
    assert any(name == "error" and "broken.png" in value["message"] for name, value in told.events)
    engine.stop()
    files = {f: f.stat().st_mtime_ns for f in (tmp_path / ".page").rglob("*.maps")}
    assert len(files) == 2
    again, _, _ = begun(photos, tmp_path)
    assert again.mask(0, 96) is not None and {f: f.stat().st_mtime_ns for f in files} == files


def test_a_photo_that_takes_the_decoder_down_is_left_out_alone(tmp_path, data, begun, monkeypatch):
    """The process that computes is ended at its second photo; the third is computed by another."""
    photos = [replace(p, labels=()) for p in data.photos[:3]]
    deaths = []

    def dying(process):
        for count, line in enumerate(lines_of(process)):
            if count == 2 and not deaths:  # ready, the first, and then nothing more
                deaths.append(process)
                process.kill()
                return
            yield line

    monkeypatch.setattr("labels2masks.page.elsewhere.lines_of", dying)
    engine, _, _ = begun(photos, tmp_path)
    assert list(engine.skipped) == [1] and "ended the process" in engine.skipped[1]
    assert engine.mask(2, 96) is not None


def test_a_mask_leaves_open_what_no_candidate_is_sure_of():
    from labels2masks.labels import Candidates

    scores_Chw = np.zeros((3, 2, 2), np.float32)
    scores_Chw[1, 0, 0] = 4
    index_HW, confidence_HW = masked(scores_Chw, cue.CELLS, Candidates.open(16, 16, 3))
    assert index_HW[0, 0] == 1 and index_HW[15, 15] == UNDECIDED
    assert ((index_HW == UNDECIDED) == (confidence_HW < 255 * SURE)).all()


def test_damaged_features_say_what_to_do(tmp_path):
    store = Store(tmp_path, ENCODER, "none")
    with pytest.raises(l2m.DataError, match="delete the file"):
        store.read(tmp_path / "gone.maps")
