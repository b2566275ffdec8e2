"""The online schedule: strong views, photos without labels, the teacher and its part in the loss."""

import sys
from dataclasses import replace
from math import exp

import cv2
import numpy as np
import pytest
import torch
from training.test_loop import fitted, fresh
from training.tiny import plan_for, same, settings, weights_of, write_plan

from labels2masks.errors import UsageError
from labels2masks.formats.splitting import apart_from
from labels2masks.kernels.upsample import upsample
from labels2masks.labels import Point, Points
from labels2masks.networks.saved import FILE
from labels2masks.training import loop, train
from labels2masks.training.batches import Crops, Stream, loader
from labels2masks.training.loop import Heads, step_loss
from labels2masks.training.plan import Plan, describe, make_plan
from labels2masks.training.strong import strong_view
from labels2masks.training.teacher import make_teacher, trusted

CLICKS = (Points((Point("disc", 20, 20), Point("background", 2, 2))),)


@pytest.fixture(scope="module")
def mixed(photos):
    """Four photos with masks, two with clicks, six without a label, in no order."""
    labels = [p.labels if i % 3 == 0 else CLICKS if i in (1, 2) else () for i, p in enumerate(photos.photos)]
    return replace(photos, photos=tuple(replace(p, labels=x) for p, x in zip(photos.photos, labels, strict=True)))


def test_the_strong_view_keeps_its_place_and_is_drawn_anew():
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (40, 60, 3), np.uint8)
    before = image.copy()
    views = [strong_view(image, np.random.default_rng(seed)) for seed in range(40)]
    assert (image == before).all() and all(v.shape == image.shape and v.dtype == np.uint8 for v in views)
    assert all((strong_view(image, np.random.default_rng(s)) == v).all() for s, v in enumerate(views))
    hidden = [(v == (124, 116, 104)).all(axis=2) for v in views]
    shares = [float(h.mean()) for h in hidden if h.mean() > 0.01]
    assert 10 < len(shares) < 30 and min(shares) > 0.015 and max(shares) < 0.45
    grey = sum(bool((v[..., 0] == v[..., 1]).all(where=~h)) for v, h in zip(views, hidden, strict=True))
    assert 2 < grey < 16


def test_a_crop_has_a_strong_view_where_something_is_undecided(mixed):
    s = settings(loss__consistency=1)
    by_labels = {"mask": mixed.photos[0], "clicks": mixed.photos[1], "none": mixed.photos[4]}
    for kind, photo in by_labels.items():
        plain, asked = (Crops([photo], s.augment, s.crop, None, {}, 0, loss)[3, 0, True][0] for loss in (None, s.loss))
        assert (plain.image_HW3 == asked.image_HW3).all() and plain.strong_HW3 is None
        assert (asked.strong_HW3 is None) == (kind == "mask")
    step = next(loader(Crops(mixed.photos[:2], s.augment, s.crop, None, {}, 0, s.loss), Stream(2, 2, 0, 1, 0), 0))
    masked = step.names.index(mixed.photos[0].name)
    assert torch.equal(step.shown_N3HW[masked], step.images_N3HW[masked])
    assert not torch.equal(step.shown_N3HW[1 - masked], step.images_N3HW[1 - masked])


@pytest.mark.parametrize(("labelled", "unlabelled"), [(3, 50), (6, 6), (20, 7), (5, 0)])
def test_the_stream_of_photos_without_labels(labelled, unlabelled):
    steps, batch = 40, 4
    batches = list(Stream(labelled, batch, 0, steps, 3, unlabelled=unlabelled))
    assert list(Stream(labelled, batch, 17, steps, 3, unlabelled=unlabelled)) == batches[17:]
    share = unlabelled / (labelled + unlabelled) if unlabelled < labelled else 0.5
    for keys in batches:
        assert len(keys) == batch
        assert abs(sum(i >= labelled for _, i, _ in keys) - share * batch) < 1
    for low, high in ((0, labelled), (labelled, labelled + unlabelled)):
        drawn = [i for keys in batches for _, i, _ in keys if low <= i < high]
        passes = [
            sorted(drawn[k : k + high - low]) for k in range(0, len(drawn) - (high - low) + 1, max(1, high - low))
        ]
        assert all(p == list(range(low, high)) for p in passes)  # every photo once in a pass


def test_the_loss_with_a_teacher_as_written(mixed):
    """A batch through `step_loss`, and the same number in loops over its pixels."""
    s = settings(loss__consistency=0.7, loss__sure=0.4, batch=6)
    crops = Crops(mixed.photos[:6], s.augment, s.crop, None, {}, 0, s.loss)
    batch = next(loader(crops, Stream(6, 6, 0, 1, 0), 0))
    network = fresh()
    network.dropout.p = 0.0
    torch.manual_seed(5)
    teacher = make_teacher(network)
    torch.nn.init.normal_(teacher.scores.weight)
    loss, parts = step_loss(Heads(network).train(), batch, s, None, torch.device("cpu"), None, teacher, 0.5)
    alone, _ = step_loss(Heads(network).train(), batch, s, None, torch.device("cpu"))
    with torch.no_grad():
        own = upsample(network.train()(batch.shown_N3HW.float()), network.grid, 32, 48).log_softmax(1)
        told = upsample(teacher(batch.images_N3HW.float()), teacher.grid, 32, 48)
    total, undecided, heard = 0.0, 0, 0
    rows = batch.labels.sets_KC[batch.labels.index_NHW]
    for n, y, x in np.ndindex(*batch.labels.index_NHW.shape):
        allowed = [c for c in range(3) if rows[n, y, x, c]]
        if len(allowed) < 2:
            continue
        undecided += 1
        masses = [exp(float(told[n, c, y, x])) for c in allowed]
        if max(masses) / sum(masses) >= 0.4:
            heard += 1
            total -= float(own[n, allowed[int(np.argmax(masses))], y, x])
    assert 0 < heard < undecided
    assert parts["consistency"] == pytest.approx(total / undecided, rel=1e-4)
    assert float(loss.detach()) == pytest.approx(float(alone.detach()) + 0.7 * 0.5 * total / undecided, rel=1e-4)
    loss.backward()
    assert network.scores.weight.grad.abs().sum() > 0 and teacher.scores.weight.grad is None


def test_the_teacher_comes_in_slowly():
    assert trusted(0, 100, 0.2) == pytest.approx(exp(-5)) and trusted(10, 100, 0.2) == pytest.approx(exp(-1.25))
    assert trusted(20, 100, 0.2) == trusted(99, 100, 0.2) == trusted(0, 100, 0.0) == 1


def test_the_teacher_is_the_running_mean(mixed, tmp_path, monkeypatch):
    plain, seen = loop.step_loss, []

    def watched(*arguments):
        seen.append(weights_of(arguments[6]))
        return plain(*arguments)

    monkeypatch.setattr(loop, "step_loss", watched)
    network, _ = fitted(mixed, plan_for(mixed, 4, loss__consistency=1), tmp_path)
    assert len(seen) == 4 and same(seen[0], weights_of(fresh())) and not same(seen[2], seen[3])
    assert not same(seen[3], weights_of(network))  # which moved on in the last step


def test_photos_without_labels_count_only_with_consistency(mixed, tmp_path):
    labelled = replace(mixed, photos=tuple(p for p in mixed.photos if p.labels))
    off, _ = fitted(mixed, plan_for(mixed, 6), tmp_path / "off")
    assert plan_for(mixed).unlabelled == [] and plan_for(mixed).train == [p.name for p in labelled]
    plan = plan_for(mixed, 6, loss__consistency=1, loss__sure=0.3, loss__ramp=0)
    assert plan.unlabelled == [p.name for p in mixed if not p.labels] and plan.train == [p.name for p in labelled]
    both, history = fitted(mixed, plan, tmp_path / "both")
    without, _ = fitted(labelled, plan, tmp_path / "without")
    again, _ = fitted(mixed, plan, tmp_path / "again")
    assert same(weights_of(both), weights_of(again)) and not same(weights_of(both), weights_of(without))
    assert any(row.get("consistency", 0) > 0 for row in history.rows)
    assert not same(weights_of(off), weights_of(both))


def test_only_unlabelled_photos_moved_by_the_teacher_alone(mixed, tmp_path):
    """Nothing but the teacher speaks: with nothing sure no weight moves but by decay, with all sure they do."""
    nobody = {name: 0.0 for name in ("loss__mask", "loss__ink", "loss__region", "loss__presence")}
    how = {**nobody, "optimiser__weight_decay": 0.0, "loss__ramp": 0}
    still, _ = fitted(mixed, plan_for(mixed, 4, loss__consistency=1, loss__sure=1, **how), tmp_path / "still")
    moved, _ = fitted(mixed, plan_for(mixed, 4, loss__consistency=1, loss__sure=0, **how), tmp_path / "moved")
    assert torch.equal(still.scores.weight, fresh().scores.weight)
    assert not torch.equal(moved.scores.weight, fresh().scores.weight)


def test_the_plan_counts_them(mixed):
    def planned(**changes):
        return make_plan(mixed, settings(**changes), None, "none", None, lambda s, classes: (s, 0.01, 0.01))[0]

    off, on = planned(epochs=10), planned(epochs=10, loss__consistency=1)
    assert off.steps == round(10 * 6 / 4) and on.steps == round(10 * 12 / 4)  # as many passes over the labelled ones
    assert "and 6 photos without a label" in describe(on) and "without a label" not in describe(off)
    assert set(on.files) == {p.name for p in mixed} and on.kinds == off.kinds
    assert on.labelling_seconds == off.labelling_seconds and on.class_shares == off.class_shares
    older = on.model_dump(mode="json")
    del older["unlabelled"]
    for name in ("consistency", "sure", "ramp"):
        del older["settings"]["loss"][name]
    assert Plan.model_validate(older).unlabelled == []


def test_folds_leave_them_in_training(photos):
    half = replace(photos, photos=tuple(replace(p, labels=p.labels if i < 7 else ()) for i, p in enumerate(photos)))
    plan, _ = make_plan(half, settings(loss__consistency=1), None, "auto", None, lambda s, c: (s, 0.01, 0.01))
    assert len(plan.fold_names) == 5 and len(plan.unlabelled) == 5 and len(plan.train) == 7
    assert not set(plan.unlabelled) & {name for fold in plan.fold_names for name in fold}


def test_the_machine_is_measured_with_the_teacher_at_work(mixed, monkeypatch):
    measure = sys.modules["labels2masks.training.measure"]

    plain, seen = measure.step_loss, []

    def watched(heads, batch, *rest, teacher=None):
        seen.append((len(batch.names), batch.strong_N3HW is not None, teacher is not None))
        return plain(heads, batch, *rest, teacher=teacher)

    monkeypatch.setattr(measure, "step_loss", watched)
    masked = replace(mixed, photos=tuple(p for p in mixed if p.has_mask or not p.labels))
    measure.measure(masked, settings(loss__consistency=1), 3)
    assert set(seen) == {(2, True, True), (4, True, True)}


def test_none_belongs_together_with_a_photo_that_is_scored(photos, tmp_path):
    """A copy of a labelled photo, and one of its group by name: near duplicates would be looked at by the teacher."""
    masked = [replace(p, name=f"a/{p.name}") for p in photos.photos[:6]]
    draw = np.random.default_rng(0)
    others = []
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"{k}.png"), draw.integers(0, 256, (48, 64, 3), np.uint8))
        others.append(
            replace(photos.photos[0], name=f"{'a' if k == 0 else k}/new", image=tmp_path / f"{k}.png", labels=())
        )
    twin = replace(photos.photos[2], name="9/twin", labels=())
    data = replace(photos, photos=(*masked, *others, twin))

    def planned(val):
        how = settings(loss__consistency=1)
        return make_plan(data, how, None, val, None, lambda s, classes: (s, 0.01, 0.01))[0]

    assert planned("none").unlabelled == ["a/new", "1/new", "2/new", "9/twin"]  # nothing is scored
    assert planned("auto").unlabelled == ["a/new", "1/new", "2/new"]
    assert any("1 photos without a label belong together" in note for note in planned("auto").notes)
    assert apart_from(masked, [*others, twin], r"^(\w)/") == others[1:]


def test_without_a_running_mean_or_steps_there_is_no_teacher(mixed, tmp_path):
    with pytest.raises(UsageError, match="optimiser.ema=0 keeps none"):
        plan_for(mixed, loss__consistency=1, optimiser__ema=0)
    with pytest.raises(UsageError, match="the solver 'ridge' takes none"):
        plan_for(mixed, loss__consistency=1, solver="ridge")
    plan = plan_for(mixed)
    bad = plan.model_copy(update={"settings": settings(loss__consistency=1, optimiser__ema=0)})
    with pytest.raises(UsageError, match="optimiser.ema=0"):
        fitted(mixed, bad, tmp_path)


@pytest.mark.parametrize("crash", [2, 5, 7])
def test_crashed_with_a_teacher_it_ends_bit_equal(mixed, tmp_path, crash):
    plan = plan_for(mixed, 8, every=3, loss__consistency=1, loss__sure=0.3, loss__ramp=0.5)
    file = write_plan(tmp_path / "plan.json", plan)
    whole = train(mixed, out=tmp_path / "whole", plan=file, say=lambda text: None)
    plain, calls = loop.step_loss, []

    def fails(*arguments, **named):
        calls.append(1)
        if len(calls) == crash:
            raise KeyboardInterrupt
        return plain(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "step_loss", fails)
        train(mixed, out=tmp_path / "cut", plan=file, say=lambda text: None)
    cut = train(mixed, out=tmp_path / "cut", resume=True, say=lambda text: None)
    assert (cut.folder / FILE).read_bytes() == (whole.folder / FILE).read_bytes()
