"""The loop: rates, running mean, batch normalisation, steps that are no numbers, early stopping, folds, processes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import write_tiny_dataset
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import nn
from training.tiny import Tiny, plan_for, same, settings, weights_of, write_plan

from labels2masks.errors import DataError, UsageError
from labels2masks.formats.open import open_dataset
from labels2masks.labels import Box, Boxes, Point, Points, Scribbles, Stroke, Tags
from labels2masks.networks.saved import load_network
from labels2masks.training import TrainingError, loop, train
from labels2masks.training.batches import Crops, Stream, loader
from labels2masks.training.dilated_depthwise import DilatedDepthwise, use_fast_backward
from labels2masks.training.loop import History, fit
from labels2masks.training.optimiser import make_optimiser, rate_factor


def fresh(classes=3):
    torch.manual_seed(0)
    return Tiny(classes)


def fitted(photos, plan, tmp_path, **callbacks):
    network = fresh(len(photos.classes))
    return network, fit(network, photos.photos, plan, tmp_path / "checkpoints", **callbacks)


def test_learning_rates():
    poly = settings(optimiser__warmup=0)
    assert rate_factor(50, 100, poly) == pytest.approx(0.5359, abs=1e-4)
    assert rate_factor(0, 100, poly) == 1 and 0 < rate_factor(99, 100, poly) < 0.02
    cosine = settings(optimiser__warmup=0, optimiser__schedule="cosine")
    assert rate_factor(50, 100, cosine) == pytest.approx(0.5)
    assert rate_factor(25, 100, cosine) == pytest.approx(0.85355, abs=1e-5)
    warm = settings(optimiser__warmup=0.1)
    climbing = [rate_factor(step, 100, warm) for step in range(12)]
    assert climbing[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11]) and climbing[10] == 1 and climbing[11] < 1
    assert all(0 < rate_factor(step, 1, warm) <= 1 for step in range(1))


def test_groups_of_the_optimiser():
    groups = make_optimiser(fresh(), settings(weights="auto")).param_groups
    bases = {(g["base"], g["weight_decay"]) for g in groups}
    assert bases == {(1e-3, 0.01), (1e-3, 0.0), (3e-4, 0.01), (3e-4, 0.0)}
    assert {g["base"] for g in make_optimiser(fresh(), settings()).param_groups} == {1e-3}  # nothing pretrained
    decayed = [p for g in groups if g["weight_decay"] for p in g["params"]]
    assert all(p.ndim > 1 for p in decayed) and len(decayed) == 2
    assert isinstance(make_optimiser(fresh(), settings(optimiser__name="sgd")), torch.optim.SGD)


def test_the_running_mean_of_the_weights():
    network = fresh()
    mean = weights_of(network)
    for step in range(200):
        with torch.no_grad():
            network.scores.bias.fill_(float(step))
        loop._update_mean(mean, network, step, 200, 0.05)
    # A mean over the last 10 steps lags by 9 of them.
    assert float(mean["scores.bias"][0]) == pytest.approx(199 - 9, abs=0.5)
    loop._update_mean(mean, network, 0, 1, 0.05)  # a span below one step: the weights themselves
    assert float(mean["scores.bias"][0]) == 199


def test_frozen_statistics_do_not_move(photos, tmp_path):
    before = weights_of(fresh())
    network, _ = fitted(photos, plan_for(photos, 3, batch_norm="frozen"), tmp_path)
    after = weights_of(network)
    assert all(torch.equal(before[k], after[k]) for k in before if "running" in k)
    assert not torch.equal(before["scores.weight"], after["scores.weight"])
    moved, _ = fitted(photos, plan_for(photos, 3), tmp_path / "moved")
    assert not torch.equal(before["norm.running_mean"], moved.norm.running_mean)


def test_recomputed_statistics_are_plain_means(photos, tmp_path):
    plan = plan_for(photos, 4, batch_norm="recomputed")
    network, _ = fitted(photos, plan, tmp_path)
    s = plan.settings
    crops = Crops(photos.photos, s.augment, s.crop, s.size, plan.rarity, s.seed)
    means, variances = [], []
    with torch.no_grad():
        for batch in loader(crops, Stream(12, s.batch, 4, 7, s.seed, plan.settles), 0):
            maps = network.encoder(batch.images_N3HW.float() / 128 - 1)
            means.append(maps.mean((0, 2, 3)))
            variances.append(maps.var((0, 2, 3)))
    assert torch.allclose(network.norm.running_mean, torch.stack(means).mean(0), atol=1e-5)
    assert torch.allclose(network.norm.running_var, torch.stack(variances).mean(0), rtol=1e-4)
    assert network.norm.momentum == 0.1 and not network.training


def weights_in(run):
    return load_network(run.folder)[0].state_dict()


def no_number_in(monkeypatch, steps):
    """Make the loss of these steps (counted from 1) no number, and the running statistics too, as an overflow would."""
    plain, calls = loop.step_loss, []

    def broken(heads, *rest, **named):
        loss, parts = plain(heads, *rest, **named)
        calls.append(1)
        if len(calls) in steps:
            heads.network.norm.running_mean.fill_(float("nan"))
            return loss * float("nan"), parts
        return loss, parts

    monkeypatch.setattr(loop, "step_loss", broken)


def test_a_loss_that_is_no_number_skips_its_step(photos, tmp_path, monkeypatch):
    no_number_in(monkeypatch, {2, 3})
    said = []
    network, history = fitted(photos, plan_for(photos, 6), tmp_path, say=said.append)
    assert all(torch.isfinite(t).all() for t in network.state_dict().values())
    assert len(history.skipped) == 2 and "step 2" in history.skipped[0]["reason"]
    assert len(history.skipped[0]["name"].split(", ")) == 4 and "photo" in said[0]


def test_a_gradient_that_is_no_number_skips_its_step(photos, tmp_path, monkeypatch):
    plain, calls = loop.step_loss, []

    def broken(heads, *rest, **named):
        loss, parts = plain(heads, *rest, **named)
        calls.append(1)
        if len(calls) == 2:  # finite, with a slope that is not
            loss = loss + torch.sqrt((heads.network.scores.bias * 0).sum())
        return loss, parts

    monkeypatch.setattr(loop, "step_loss", broken)
    network, history = fitted(photos, plan_for(photos, 4), tmp_path)
    assert "gradient" in history.skipped[0]["reason"]
    assert all(torch.isfinite(t).all() for t in network.state_dict().values())


def test_it_stops_after_a_few_and_names_the_photos(photos, tmp_path, monkeypatch):
    no_number_in(monkeypatch, set(range(4, 100)))
    plan = write_plan(tmp_path / "plan.json", plan_for(photos, 30))
    with pytest.raises(TrainingError, match=r"photo\d+.*optimiser.rate=0.0003"):
        train(photos, out=tmp_path / "run", plan=plan, say=lambda text: None)
    skipped = (tmp_path / "run/skipped.jsonl").read_text().splitlines()
    assert len(skipped) == loop.TOO_MANY and "photo" in json.loads(skipped[0])["name"]
    assert (tmp_path / "run/metrics.csv").exists()


def test_early_stopping_keeps_the_best(photos, tmp_path):
    scores = iter([0.3, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    seen = []

    def validate(network):
        assert not network.training
        seen.append(weights_of(network))
        return {"mIoU": next(scores)}

    said = []
    plan = plan_for(photos, 20, validations=10, early_stop=2, select="mIoU")
    network, history = fitted(photos, plan, tmp_path, validate=validate, say=said.append)
    assert history.best == 0.6 and history.best_step == 4 and history.stopped_early and len(seen) == 4
    assert same(weights_of(network), seen[1]) and "stopped early at step 8" in said[-1]
    again, resumed = fitted(photos, plan, tmp_path, validate=validate)  # as after a kill before the score
    assert same(weights_of(again), seen[1]) and len(seen) == 4 and resumed == history


def test_the_last_weights_can_be_the_best(photos, tmp_path):
    scores = iter([0.1, 0.2, 0.9])
    plan = plan_for(photos, 6, validations=3, early_stop=3, select="mIoU")
    _, history = fitted(photos, plan, tmp_path, validate=lambda network: {"mIoU": next(scores)})
    assert history.best_step == 6


def test_the_history_survives_a_checkpoint(photos, tmp_path):
    _, history = fitted(photos, plan_for(photos, 6, every=2), tmp_path)
    _, again = fitted(photos, plan_for(photos, 6, every=2), tmp_path)
    assert again == history and [row["step"] for row in again.rows] == [1, 2, 3, 4, 5, 6]
    assert [list(row) for row in again.rows] == [list(row) for row in history.rows]  # columns keep their order
    noted = History()
    for _ in range(3):
        noted.leave_out("a", "broken")
    assert len(noted.skipped) == 1


def test_all_kinds_of_labels_train_together(photos, tmp_path):
    kinds = [
        (Points((Point("disc", 20, 20), Point("background", 2, 2))),),
        (Scribbles((Stroke("background", ((2, 2), (40, 2))), Stroke("box", ((30, 30), (34, 34)), negative=True))),),
        (Boxes((Box.upright("disc", 10, 10, 40, 40),), complete=frozenset({"disc", "box"})),),
        (Tags(frozenset({"box"}), absent=frozenset({"disc"})),),
    ]
    mixed = [replace(p, labels=kinds[i]) if i < 4 else p for i, p in enumerate(photos.photos)]
    data = replace(photos, photos=tuple(mixed))
    rows = []
    plan = plan_for(data, 60, every=100, optimiser__rate=0.01, batch=6)
    _, history = fitted(data, plan, tmp_path, tell=lambda step, row: rows.append(row))
    assert {"mask", "ink", "region", "presence"} <= {name for row in rows for name in row}
    losses = [row["loss"] for row in rows]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_a_crop_without_a_label_is_no_failure(photos, tmp_path):
    unsaid = replace(photos, photos=tuple(replace(p, labels=(Points(()),)) for p in photos.photos))
    network, history = fitted(unsaid, plan_for(unsaid, 3), tmp_path)
    assert [row["loss"] for row in history.rows] == [0, 0, 0] and not history.skipped


@examples(max_examples=25)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from([3, 5]), st.integers(2, 6), st.booleans(),
)  # fmt: skip
def test_the_fast_backward_is_that_of_conv2d(images, channels, height, width, kernel, dilation, bias):
    torch.manual_seed(height * 41 + width)
    plain = nn.Conv2d(channels, channels, kernel, 1, dilation * (kernel // 2), dilation, channels, bias)
    quick = nn.Sequential(nn.Conv2d(channels, channels, kernel, 1, dilation * (kernel // 2), dilation, channels, bias))
    quick.load_state_dict({f"0.{k}": v for k, v in plain.state_dict().items()})
    assert use_fast_backward(quick) == 1 and isinstance(quick[0], DilatedDepthwise)
    maps = torch.randn(images, channels, height, width)
    one, other = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    slope = torch.randn_like(maps)
    plain(one).backward(slope)
    result = quick(other)
    result.backward(slope)
    assert torch.equal(result, plain(maps))
    assert torch.allclose(one.grad, other.grad, atol=1e-4)
    for a, b in zip(plain.parameters(), quick.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-3)


def test_a_run_starts_from_an_earlier_one_by_class_name(photos, tmp_path):
    first = train(
        photos, out=tmp_path / "first", plan=write_plan(tmp_path / "p.json", plan_for(photos, 2)), say=lambda text: None
    )
    turned = photos.choose(["box"])  # background and box, without disc
    said = []
    plan = plan_for(turned, 1, weights=str(first.folder), optimiser__rate=1e-12, optimiser__ema=0)
    run = train(turned, out=tmp_path / "second", plan=write_plan(tmp_path / "q.json", plan), say=said.append)
    before, after = weights_in(first), weights_in(run)
    rows = [photos.classes.index(n) for n in turned.classes.names]
    assert torch.allclose(after["scores.weight"], before["scores.weight"][rows], atol=1e-6)
    assert torch.allclose(after["encoder.weight"], before["encoder.weight"], atol=1e-6)
    assert any("started from" in s for s in said)
    assert run.metrics["protocol"]["pretraining"] == "an earlier run: first"


def test_five_folds_from_end_to_end_and_a_crash_between(tmp_path, monkeypatch):
    data = replace(open_dataset(write_tiny_dataset(tmp_path / "data", photos=10)), splits={})
    plan = write_plan(tmp_path / "plan.json", plan_for(data, 3, val="auto"))
    whole = train(data, out=tmp_path / "whole", plan=plan, say=lambda text: None)
    assert whole.metrics["miou"] is not None and whole.metrics["protocol"]["photos"] == 10
    assert "5 folds" in whole.metrics["protocol"]["split"]
    assert set(whole.metrics["per_class"]) == set(data.classes.names)
    assert sorted(p.name for p in (whole.folder / "folds").iterdir()) == list("01234")

    plain, calls = loop.step_loss, []

    def fails(*arguments, **named):
        calls.append(1)
        if len(calls) == 8:  # in the third fold
            raise KeyboardInterrupt
        return plain(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "step_loss", fails)
        train(data, out=tmp_path / "cut", plan=plan, say=lambda text: None)
    cut = train(data, out=tmp_path / "cut", resume=True, say=lambda text: None)
    assert {k: v for k, v in cut.metrics.items() if k != "minutes"} == {
        k: v for k, v in whole.metrics.items() if k != "minutes"
    }
    assert (cut.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_results_go_to_stdout_and_progress_to_stderr(photos, tmp_path, capsys):
    train(photos, out=tmp_path / "run", plan=write_plan(tmp_path / "p.json", plan_for(photos, 1)))
    out, err = capsys.readouterr()
    assert out == "" and "the run is in" in err and "step 1/1" in err


def test_a_real_network_resumes_bit_equal(photos, tmp_path):
    real = {"network": "linear", "encoder": "mobilenetv3_small_050", "memory_format": "channels_last"}
    plan = plan_for(photos, 3, every=2, **real)
    file = write_plan(tmp_path / "p.json", plan)
    whole = train(photos, out=tmp_path / "whole", plan=file, say=lambda text: None)
    plain, calls = loop.step_loss, []

    def fails(*arguments, **named):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "step_loss", fails)
        train(photos, out=tmp_path / "cut", plan=file, say=lambda text: None)
    cut = train(photos, out=tmp_path / "cut", resume=True, say=lambda text: None)
    assert (cut.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


APART = """
import sys
from dataclasses import replace
import torch
from labels2masks.labels import Point, Points
from training.tiny import TINY
from labels2masks import networks
from labels2masks.formats.open import open_dataset
from labels2masks.training import train
networks.NETWORKS["tiny"] = TINY
train.__globals__["_tensorboard"] = lambda folder, step: None
torch.nn.Dropout.forward = lambda self, x: x
data = open_dataset(sys.argv[1])
clicked = replace(data.photos[3], labels=(Points((Point("disc", 20, 20),)),))
data = replace(data, photos=data.photos[:3] + (clicked,) + data.photos[4:])
run = train(data, out=sys.argv[3], plan=sys.argv[2])
print("done", run.metrics["protocol"]["photos"])
"""


def test_two_processes_follow_one_plan_to_the_same_weights(photos, tmp_path, monkeypatch):
    """Clicks in one photo of twelve: most of the time one process has ink and the other has none.

    Without dropout, which is each process's own, the halves of a batch add up to the whole.
    """
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, maps: maps)
    root = write_tiny_dataset(tmp_path / "data")
    data = open_dataset(root)
    clicked = replace(data.photos[3], labels=(Points((Point("disc", 20, 20),)),))
    data = replace(data, photos=data.photos[:3] + (clicked,) + data.photos[4:])
    plain = {"optimiser__name": "sgd", "optimiser__rate": 0.05, "loss__consistency": 1.0, "loss__sure": 0.0}
    plan = plan_for(data, 6, every=2, batch=4, **plain).model_copy(
        update={"val": ["photo00"], "split_origin": "by hand"}
    )
    file = write_plan(tmp_path / "plan.json", plan)
    (tmp_path / "apart.py").write_text(APART)
    here = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parent / "src")])
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [sys.executable, *words, str(tmp_path / "apart.py"), str(root), str(file), str(tmp_path / "run")],
        capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("done") == done.stdout.count("1") == 2  # the two may print into each other
    assert done.stderr.count("the run is in") == 1  # the main process alone speaks and writes
    two = train(data, out=tmp_path / "run", resume=True, say=lambda text: None)
    one = train(data, out=tmp_path / "one", plan=file, say=lambda text: None)
    two, one = weights_in(two), weights_in(one)
    assert all(torch.isfinite(t).all() for t in two.values())
    assert not torch.allclose(one["scores.weight"], fresh().scores.weight, atol=1e-3)
    assert all(torch.allclose(one[k].float(), two[k].float(), atol=1e-5) for k in one)


def test_a_batch_smaller_than_the_processes_is_refused(photos, tmp_path, monkeypatch):
    class Many:
        num_processes = 8

    monkeypatch.setattr(loop.processes, "accelerator", lambda: Many())
    with pytest.raises(UsageError, match="batch of 4 is too small for 8 processes"):
        fit(fresh(), photos.photos, plan_for(photos), tmp_path)


def test_a_photo_that_goes_away_is_noted_once(photos, tmp_path):
    gone = replace(photos.photos[0], image=tmp_path / "gone.png")
    data = replace(photos, photos=(gone, *photos.photos[1:]))
    _, history = fit_gone(data, photos, tmp_path)
    assert [s["name"] for s in history.skipped] == ["photo00"]
    with pytest.raises(DataError, match="ten photos in a row"):
        fit(fresh(), [gone], plan_for(photos), tmp_path / "none")


def fit_gone(data, photos, tmp_path):
    network = fresh()
    return network, fit(network, data.photos, plan_for(photos, 9), tmp_path / "checkpoints")
