"""A run that was killed ends bit-equal to one that was not, and nothing that was written is lost."""

import errno
import itertools
import multiprocessing
import os
import random
import signal
import sys
import time

import pytest
import torch
from training.tiny import Moments, Tiny, plan_for, same, train_apart, weights_of, write_plan

from labels2masks.errors import DataError, UsageError
from labels2masks.networks.saved import FILE
from labels2masks.training import loop, train
from labels2masks.training.batches import Crops, Stream, loader
from labels2masks.training.checkpoint import newest_checkpoint, save_checkpoint

STEPS, EVERY = 14, 3


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def uninterrupted(photos, tmp_path_factory):
    """(plan file, bytes of the model of a run that nobody killed)."""
    from training.tiny import TINY

    from labels2masks import networks

    folder = tmp_path_factory.mktemp("whole")
    data = _with_val(photos)
    plan = plan_for(data, STEPS, EVERY, val="auto", validations=3, early_stop=3, select="mIoU")
    file = write_plan(folder / "plan.json", plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.NETWORKS, "tiny", TINY)
        patch.setattr(sys.modules["labels2masks.training.train"], "_tensorboard", lambda *_: None)
        run = train(data, out=folder / "run", plan=file, say=lambda text: None)
    return file, (run.folder / "model.safetensors").read_bytes()


@pytest.fixture
def data(photos):
    return _with_val(photos)


def _with_val(photos):
    from dataclasses import replace

    names = tuple(p.name for p in photos)
    return replace(photos, splits={"train": names[:9], "val": names[9:]})


def crash_at(monkeypatch, step):
    """Fail in step `step` (counted from 1) of this process."""
    plain, calls = loop.step_loss, []

    def fails(*arguments, **named):
        calls.append(1)
        if len(calls) == step:
            raise Killed
        return plain(*arguments, **named)

    monkeypatch.setattr(loop, "step_loss", fails)


def crashed(data, plan, out, step):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        crash_at(patch, step)
        train(data, out=out, plan=plan, say=lambda text: None)


def resumed(data, out, said=None):
    run = train(data, out=out, resume=True, say=(said if said is not None else []).append)
    return (run.folder / "model.safetensors").read_bytes()


def test_the_same_weights_whatever_the_number_of_workers(photos, tmp_path):
    ends = []
    for workers in (0, 1, 2):
        plan = plan_for(photos, steps=4, every=100, workers=workers)
        network = Tiny(3)
        network.load_state_dict(weights_of(_seeded()))
        loop.fit(network, photos.photos, plan, tmp_path / str(workers))
        ends.append(weights_of(network))
    assert same(ends[0], ends[1]) and same(ends[0], ends[2])


def _seeded():
    torch.manual_seed(0)
    return Tiny(3)


@pytest.fixture(scope="module")
def split_photos(photos):
    """The folder of the photos, with splits: for processes that open it themselves."""
    folder = photos.root / "splits"
    folder.mkdir(exist_ok=True)
    for name, part in _with_val(photos).splits.items():
        (folder / f"{name}.txt").write_text("".join(f"{photo}\n" for photo in part))
    return str(photos.root)


@pytest.fixture(scope="module")
def apart():
    """Starts processes that train; torch is imported once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["labels2masks.training", "training.tiny"])

    def start(*arguments):
        process = context.Process(target=train_apart, args=tuple(map(_plain, arguments)))
        process.start()
        return process

    return start


def _plain(value):
    return str(value) if isinstance(value, os.PathLike) else value


def test_killed_at_twenty_random_moments_it_ends_bit_equal(split_photos, uninterrupted, apart, tmp_path):
    """At least twenty, and until start-up, steps, the end, and the middle of a write were hit."""
    plan, expected = uninterrupted
    draw, kills, run = random.Random(0), [], 0
    while len(kills) < 20 or {stage for stage, _ in kills} < set(STAGES) or not any(part for _, part in kills):
        assert len(kills) < 200
        out = tmp_path / str(run)
        process = apart(split_photos, plan, out, draw.randint(1, 80), draw.choice((0, draw.uniform(0, 0.02))))
        process.join(900)
        if process.exitcode == -signal.SIGKILL:
            kills.append(_stage(out))
        else:  # it was done before its moment came
            assert process.exitcode == 0 and (out / FILE).read_bytes() == expected
            run += 1
    out = tmp_path / str(run)
    process = apart(split_photos, plan, out, None, 0)
    process.join(900)
    assert process.exitcode == 0 and (out / FILE).read_bytes() == expected
    assert not list(out.rglob("*.part")) and not (out / "checkpoints").exists()


STAGES = ("starting", "training", "finishing")


def _stage(out):
    """(how far a killed run had come, whether it was writing a file)."""
    steps = max((int(p.stem.split("-")[1]) for p in out.glob("checkpoints/step-*")), default=0)
    return STAGES[2 if steps == STEPS or (out / FILE).exists() else steps > 0], any(out.rglob("*.part"))


def test_two_starts_on_one_folder_are_refused(data, split_photos, uninterrupted, apart, tmp_path):
    plan, expected = uninterrupted
    out = tmp_path / "run"
    process = apart(split_photos, plan, out, 30, None)
    try:
        deadline = time.monotonic() + 900
        while not (out / "plan.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (out / "plan.json").exists()
        with pytest.raises(UsageError, match="is being trained in by another process"):
            train(data, out=out, resume=True, say=lambda text: None)
        with pytest.raises(UsageError, match="never overwritten"):
            train(data, out=out, plan=plan, say=lambda text: None)
        assert process.is_alive()
    finally:
        process.kill()
        process.join(900)
    assert resumed(data, out) == expected


@pytest.mark.parametrize("step", [1, 2, EVERY, 8, STEPS])
def test_crashed_at_a_step_it_ends_bit_equal(data, uninterrupted, tmp_path, step):
    plan, expected = uninterrupted
    crashed(data, plan, tmp_path / "run", step)
    assert resumed(data, tmp_path / "run") == expected
    lines = (tmp_path / "run/metrics.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(1, STEPS + 1))  # each step once
    assert (tmp_path / "run/first_batches.png").exists()


def test_killed_while_scoring_no_step_is_taken_again(data, uninterrupted, tmp_path, monkeypatch):
    plan, expected = uninterrupted
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):

        def killed(*_):
            raise Killed

        patch.setattr(sys.modules["labels2masks.training.train"], "protocol_card", lambda **_: killed())
        train(data, out=tmp_path / "run", plan=plan, say=lambda text: None)
    monkeypatch.setattr(loop, "step_loss", lambda *_, **__: pytest.fail("a step"))
    assert resumed(data, tmp_path / "run") == expected


def cut(content):
    return content[: len(content) // 2]


def with_a_bit_flipped(content):
    return content[:-9] + bytes([content[-9] ^ 4]) + content[-8:]


@pytest.mark.parametrize("damage", [cut, with_a_bit_flipped])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(data, uninterrupted, tmp_path, capsys, damage):
    plan, expected = uninterrupted
    out = tmp_path / "run"
    crashed(data, plan, out, 8)
    older, newest = sorted((out / "checkpoints").iterdir())[-2:]
    newest.write_bytes(damage(newest.read_bytes()))
    assert resumed(data, out) == expected
    told = capsys.readouterr().err
    assert newest.name in told and "going back" in told


def test_no_flipped_bit_passes(tmp_path):
    """One in every byte of a checkpoint: it is found, or it changed nothing (blanks of the header)."""
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3)}
    for step in (1, 2):
        newest = save_checkpoint(tmp_path, step, tensors, {"history": {"loss": [0.25]}})
    content, found = newest.read_bytes(), 0
    for place in range(len(content)):
        newest.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        read, state, complaints = newest_checkpoint(tmp_path)
        assert same(read, tensors) and state["history"] == {"loss": [0.25]}
        assert state["step"] == (1 if complaints else 2)
        found += len(complaints)
    assert found > 0.8 * len(content)


def test_without_a_checkpoint_that_reads_it_starts_from_the_beginning(data, uninterrupted, tmp_path, capsys):
    plan, expected = uninterrupted
    out = tmp_path / "run"
    crashed(data, plan, out, 8)
    for file in (out / "checkpoints").iterdir():
        file.write_bytes(b"\0" * 64)
    assert resumed(data, out) == expected
    assert "no older one" in capsys.readouterr().err


def test_a_run_is_never_overwritten_and_a_finished_one_is_returned(data, uninterrupted, tmp_path, monkeypatch):
    plan, expected = uninterrupted
    out = plan.parent / "run"
    with pytest.raises(UsageError, match="never overwritten"):
        train(data, out=out, plan=plan, say=lambda text: None)
    monkeypatch.setitem(train.__globals__, "fit", lambda *_: pytest.fail("trained again"))
    assert resumed(data, out) == expected
    with pytest.raises(UsageError, match="--resume needs --out"):
        train(data, resume=True)


def test_a_disk_full_at_any_write_loses_nothing(data, tmp_path):
    """Each call that writes fails in a run of its own, a write after half of its bytes."""
    plan = write_plan(tmp_path / "plan.json", plan_for(_with_val(data), 4, 2, val="auto", validations=1))
    expected = (train(data, out=tmp_path / "whole", plan=plan, say=lambda text: None).folder / FILE).read_bytes()
    for moment in itertools.count(1):
        out, before = tmp_path / str(moment), {}

        def full(count, moment=moment, out=out, before=before):
            if count == moment:
                before |= {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.suffix != ".part"}
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.MonkeyPatch.context() as patch:
            Moments(full, patch)
            try:
                train(data, out=out, plan=plan, say=lambda text: None)
            except OSError as error:
                assert error.errno == errno.ENOSPC
            else:
                break
        assert {p: p.read_bytes() for p in before} == before
        assert not list(out.rglob("*.part"))
        # With the plan, which may be what could not be written.
        run = train(data, out=out, plan=plan, resume=True, say=lambda text: None)
        assert (run.folder / FILE).read_bytes() == expected
    assert moment > 50 and not before


def test_a_changed_photo_is_refused(data, uninterrupted, tmp_path):
    import shutil
    from dataclasses import replace

    plan, _ = uninterrupted
    changed = tmp_path / "changed.png"
    shutil.copy(data.photos[1].image, changed)
    first = replace(data.photos[0], image=changed)
    with pytest.raises(DataError, match="changed.png: not the file that the plan was made with"):
        train(replace(data, photos=(first, *data.photos[1:])), out=tmp_path / "run", plan=plan, say=lambda text: None)


def test_another_class_list_and_a_broken_plan_are_refused(data, uninterrupted, tmp_path):
    plan, _ = uninterrupted
    with pytest.raises(UsageError, match="made for the classes"):
        train(data.choose(["disc"]), out=tmp_path / "a", plan=plan, say=lambda text: None)
    broken = tmp_path / "plan.json"
    broken.write_text(plan.read_text().replace('"steps":14', '"steps":"many"'))
    with pytest.raises(UsageError, match="steps"):
        train(data, out=tmp_path / "b", plan=broken, say=lambda text: None)
    with pytest.raises(UsageError, match="no plan at"):
        train(data, out=tmp_path / "c", plan=tmp_path / "none.json", say=lambda text: None)


def test_the_stream_starts_anywhere(photos):
    whole = list(Stream(12, 5, 0, 9, seed=3))
    assert list(Stream(12, 5, 4, 9, seed=3)) == whole[4:]
    halves = [list(Stream(12, 5, 0, 9, 3, None, process, 2)) for process in (0, 1)]
    assert [a[::1] for a in halves[0]] == [keys[0::2] for keys in whole]
    assert sorted(k for keys in halves[0] + halves[1] for k in keys) == sorted(k for keys in whole for k in keys)
    first_pass = [k for keys in whole for k in keys][:12]
    assert sorted(i for _, i, _ in first_pass) == list(range(12))


def test_hardly_a_photo_reads_one_line_even_from_a_worker(photos, tmp_path):
    from dataclasses import replace

    plan = plan_for(photos)
    gone = [replace(p, image=tmp_path / "gone.png") for p in photos]
    crops = Crops(gone, plan.settings.augment, (32, 32), None, {}, 0)
    for workers in (0, 1):
        with pytest.raises(DataError) as caught:
            list(loader(crops, Stream(12, 2, 0, 1, 0), workers))
        assert "\n" not in str(caught.value) and "gone.png: no such file" in str(caught.value)
