"""Training, results, audit and export from the page, each in processes of their own."""

from __future__ import annotations

import json
import sys
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import write_tiny_dataset
from page.told import Told

import labels2masks as l2m
from labels2masks.errors import UsageError
from labels2masks.labels import Point, Points
from labels2masks.page.export import FORMATS
from labels2masks.page.jobs import Job, Queue
from labels2masks.page.looks import judged
from labels2masks.page.project import Project
from labels2masks.page.work import Jobs

ENCODER = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """(jobs, project, told) over the tiny data set; the engine shows disc everywhere but in a void corner."""
    project = Project(write_tiny_dataset(tmp_path_factory.mktemp("work") / "tiny"))

    def mask(i, longest):
        index_HW = np.full(project.size(i), 1, np.uint8)
        index_HW[:5, :5] = 255
        return index_HW, index_HW

    told = Told()
    engine = SimpleNamespace(mask=mask, store=SimpleNamespace(encoder=ENCODER, weights="none"))
    jobs = Jobs(project, engine, told)
    yield jobs, project, told
    jobs.stop_all()
    project.close()


def test_a_run_is_trained_looked_at_audited_and_taken_away(page, monkeypatch):
    jobs, project, told = page
    ended = told.ended(jobs.train(1, "instant"))
    assert ended["state"] == "done" and ended["fraction"] == 1, ended
    (run,) = jobs.runs()
    assert run["name"] == "instant-1" and run["miou"] > 0.2 and run["protocol"]["seed"] == 0
    rows = jobs.run_photos("instant-1")
    assert len(rows) == 12 and [r["score"] for r in rows] == sorted(r["score"] for r in rows)
    assert {r["by"] for r in rows} == {"truth"} and sum(r["learnt"] for r in rows) == 8
    assert jobs.run_photos("instant-1", "disc") and len(jobs.run_photos("instant-1", "no such class")) == 0
    planes = jobs.run_photo("instant-1", 3)
    assert len(planes) == 3 and planes[0].shape == (48, 64) and set(np.unique(planes[2])) <= {0, 1, 2, 255}

    assert told.ended(jobs.audit("instant-1", 9))["state"] == "done"
    first = jobs.audit_next()
    x0, y0, x1, y1 = first["window"]
    assert first["number"] == 1 and first["left"] == 9 and x0 <= first["x"] < x1 <= 64 and y0 <= first["y"] < y1 <= 48
    assert jobs.audit_estimate()["miou"] is None
    for _ in range(9):
        jobs.audit_answer(jobs.audit_next()["number"], "background")
    assert jobs.audit_next() == {"done": True}
    estimate = jobs.audit_estimate()
    assert estimate["answered"] == 9 and estimate["low"] <= estimate["miou"] <= estimate["high"]

    monkeypatch.setattr(jobs, "_last", lambda: jobs._run("instant-1"))
    assert told.ended(jobs.export("report"))["files"] == ["report.html"]
    assert "<html" in (project.folder / "exports" / "report.html").read_text()


@pytest.mark.parametrize("what, form, name", [("labels", "jsonl", "labels-jsonl.jsonl"), ("masks", "png", "masks.zip")])
def test_exports_are_one_file_each_and_never_overwritten(page, what, form, name):
    jobs, project, told = page
    for expected in (name, name.replace(".", "-2.", 1)):
        ended = told.ended(jobs.export(what, form))
        assert ended["state"] == "done" and ended["files"] == [expected], ended
        assert (project.folder / "exports" / expected).is_file()
    assert not (project.private / "exporting").exists()


def test_masks_are_written_in_the_ids_of_the_labels(page):
    jobs, project, told = page
    ended = told.ended(jobs.export("masks", "png"))
    with zipfile.ZipFile(project.folder / "exports" / ended["files"][0]) as packed:
        assert sorted(packed.namelist())[0] == "classes.txt" and len(packed.namelist()) == 13
        packed.extract("photo00.png", project.private)
    from labels2masks.formats.image import read_mask

    ids_HW = read_mask(project.private / "photo00.png")
    assert (ids_HW[:5, :5] == 255).all() and (ids_HW[5:] == 1).all()


def test_what_is_not_there_is_refused(page):
    jobs, _, _ = page
    with pytest.raises(UsageError, match="did you mean 'masks'"):
        jobs.export("mask")
    with pytest.raises(UsageError, match="did you mean 'coco'"):
        jobs.export("labels", "cocoo")
    with pytest.raises(UsageError, match="no recipe"):
        jobs.train(1, "../x")
    for ask in (jobs.run_photos, lambda name: jobs.run_photo(name, 0), lambda name: jobs.audit(name, 5), jobs.stop):
        with pytest.raises(KeyError):
            ask("../../etc")
    assert set(jobs.formats()) == set(FORMATS) and "auto" in jobs.recipes()


def test_a_job_that_fails_says_why_and_the_next_one_runs():
    told = Told()
    queue = Queue(told)
    first = queue.begin("train", lambda job: job.run("check", "/no/such/folder"))
    second = queue.begin("export", lambda job: job.say("here", 0.5))
    failed = told.ended(first)
    assert failed["state"] == "failed" and "no such file or folder" in failed["message"]
    assert told.ended(second)["state"] == "done"


def test_a_stopped_job_ends_with_its_processes():
    told = Told()
    queue = Queue(told)
    started = []

    def sleep(job):
        process = job.started([sys.executable, "-c", "import time; time.sleep(600)"])
        started.append(process)
        process.wait()
        job.say("woken")

    first, waiting = queue.begin("train", sleep), queue.begin("train", sleep)
    while not started:
        time.sleep(0.01)
    queue.stop(waiting)
    queue.stop(first)
    assert told.ended(first)["state"] == "stopped" and told.ended(waiting)["state"] == "stopped"
    assert len(started) == 1 and started[0].poll() is not None


def test_what_training_says_becomes_a_curve():
    job = Job("train", lambda name, value: None)
    job.heard("reading labels: 12/48, 3.0/s, 12 s left", 0.0, 0.5)
    assert job.fraction == 0.125
    job.heard("step 20/80, loss 0.812, 3.1 images/s, 2 min left", 0.0, 0.8)
    job.heard("step 40: validation mIoU 31.5", 0.0, 0.8)
    assert job.curve == [{"step": 20, "loss": 0.812}, {"step": 40, "miou": 0.315}] and job.fraction == 0.2
    job.curve += [{"step": s, "loss": 0.5} for s in range(5000)]
    assert len(job.describe()["curve"]) <= 300 and json.dumps(job.describe())


def test_photos_without_a_mask_are_judged_by_what_their_labels_allow(page):
    _, project, _ = page
    photo = project.photo(0)
    clicked = l2m.Photo("a", photo.image, (Points((Point("disc", 10, 10), Point("box", 40, 40))),), photo.vocabulary)
    seen_HW = np.full((48, 64), 1, np.uint8)
    row = judged(clicked, seen_HW, None)
    assert row["by"] == "labels" and row["score"] == pytest.approx(0.5) and row["confidence"] is None
    assert judged(l2m.Photo("a", photo.image, (), photo.vocabulary), seen_HW, None)["score"] is None
    truth = judged(photo, seen_HW, np.full((48, 64), 0.5, np.float32))
    assert truth["by"] == "truth" and truth["confidence"] == 0.5 and truth["classes"]["background"] == 0


def test_exporting_masks_before_there_are_any_says_so(page, monkeypatch):
    jobs, _, told = page
    monkeypatch.setattr(jobs.engine, "mask", lambda i, longest: None)
    assert "no photo has a mask yet" in told.ended(jobs.export("masks"))["message"]
