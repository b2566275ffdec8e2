"""Stages: each run starts where the one before ended; frozen parts stay as they were, statistics included."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training.tiny import plan_for, same, settings, weights_of

from labels2masks.errors import UsageError
from labels2masks.networks.saved import load_network
from labels2masks.prediction.views import Views
from labels2masks.training.loop import fit
from labels2masks.training.optimiser import rate_factor
from labels2masks.training.plan import read_plan
from labels2masks.training.stages import train_stages
from labels2masks.training.start import built, pretraining


def stages(**changes):
    first = settings(epochs=1, **changes)
    return [first, first.model_copy(update={"frozen": ("encoder", "norm")})]


def parts(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    weights = weights_of(load_network(path)[0])
    return {name: t for name, t in weights.items() if name.startswith(prefix)}


@pytest.mark.parametrize("batch_norm", ["train", "recomputed"])
def test_frozen_parts_stay(photos, tmp_path, batch_norm):
    plan = plan_for(photos, 3, frozen=("encoder", "norm"), batch_norm=batch_norm)
    network = built(plan.settings, 3)
    before = weights_of(network)
    fit(network, photos.photos, plan, tmp_path / "checkpoints")
    after = weights_of(network)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"scores"}


def test_frozen_batch_norms_keep_scale_and_shift_too(photos, tmp_path):
    plan = plan_for(photos, 3, batch_norm="frozen")
    network = built(plan.settings, 3)
    before = weights_of(network)
    fit(network, photos.photos, plan, tmp_path / "checkpoints")
    after = weights_of(network)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"encoder", "scores"}


def test_a_part_that_is_not_there():
    with pytest.raises(UsageError, match="no part 'encodr' to freeze - did you mean 'encoder'"):
        built(settings(frozen=("encodr",)), 3)


def test_a_constant_rate():
    constant = settings(optimiser__schedule="constant", optimiser__warmup=0.1)
    assert [rate_factor(step, 100, constant) for step in (10, 50, 99)] == [1, 1, 1]
    assert rate_factor(0, 100, constant) < 1


def test_each_stage_starts_from_the_one_before(photos, tmp_path):
    out = tmp_path / "run"
    run = train_stages(photos, stages(), val="none", out=out, say=lambda text: None)
    first = out / "stages" / "1-tiny"
    assert run.folder == out and same(parts(first, "encoder"), parts(out, "encoder"))
    assert not same(parts(first, "scores"), parts(out, "scores"))
    written = (first / "model.safetensors").stat().st_mtime_ns
    train_stages(photos, stages(), val="none", out=out, resume=True, say=lambda text: None)
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(UsageError, match="a run is never overwritten"):
        train_stages(photos, stages(), val="none", out=out)
    with pytest.raises(UsageError, match="leave out --plan"):
        train_stages(photos, stages(), out=tmp_path / "other", plan=out / "plan.json")


def test_the_card_names_every_stage(photos, tmp_path):
    out = tmp_path / "run"
    three = [*stages(), stages()[1]]
    run = train_stages(photos, three, val="none", out=out, say=lambda text: None)
    chain = "an earlier run: 1-tiny -> an earlier run: 2-tiny"
    assert run.metrics["protocol"]["pretraining"] == chain
    later = settings(weights=str(out / "model.safetensors"))  # a file is named by its run
    assert pretraining(later) == f"{chain} -> an earlier run: run"


def test_a_run_is_scored_and_looks_at_photos_as_its_recipe_does(photos, tmp_path):
    views = Views((0.5, 1.0), mirror=True)
    stage = settings(epochs=1, inference__scales=[0.5, 1.0], inference__mirror=True)
    data = replace(photos, splits={"val": tuple(p.name for p in photos)[9:]})
    run = train_stages(data, [stage], out=tmp_path / "run", say=lambda text: None)
    assert run.model.views == views == read_plan(run.folder / "plan.json").settings.inference
    found = run.evaluate(data)
    assert found["miou"] == pytest.approx(run.metrics["miou"])
    assert found["protocol"]["tta"] == run.metrics["protocol"]["tta"] == str(views)
    with pytest.raises(UsageError, match=r"inference.*scales above 0"):
        settings(inference__scales=[])


def test_a_killed_one_goes_on_in_its_stage(photos, tmp_path):
    out = tmp_path / "run"

    def killed(text: str) -> None:
        if text.startswith("started from"):  # the second stage has begun
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_stages(photos, stages(), val="none", out=out, say=killed)
    assert (out / "stages" / "1-tiny" / "model.safetensors").exists() and not (out / "model.safetensors").exists()
    train_stages(photos, stages(), val="none", out=out, resume=True, say=lambda text: None)
    whole = train_stages(photos, stages(), val="none", out=tmp_path / "whole", say=lambda text: None)
    assert same(parts(out, ""), parts(whole.folder, ""))


def test_folds_start_from_the_same_folds(photos, tmp_path):
    """Twelve photos are scored by five folds; no fold may start from a network that has seen its photos."""
    out = tmp_path / "run"
    train_stages(photos, stages(), out=out, say=lambda text: None)
    for fold in range(5):
        earlier = out / "stages" / "1-tiny" / "folds" / str(fold)
        assert same(parts(earlier, "encoder"), parts(out / "folds" / str(fold), "encoder"))
        assert not same(parts(earlier, "encoder"), parts(out, "encoder"))
