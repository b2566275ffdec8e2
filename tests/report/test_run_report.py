"""The report of a run: whole, self-contained, escaped, without EXIF, and never made over unasked."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import platform
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import draw_photo, write_tiny_dataset
from PIL import Image
from training.tiny import TINY, plan_for, write_plan

import labels2masks as l2m
from labels2masks import cli, networks
from labels2masks.errors import DataError, UsageError
from labels2masks.formats.open import open_dataset

SECRET = b"whose camera"
ODD = "<script>alert(1)<script> & 'x'" if os.name != "nt" else "a & 'x'"
ODD_RUN = "run <b>" if os.name != "nt" else "run & b"
ODD_CLASS = '"><script>alert(2)</script>'


def write_odd_dataset(root: Path) -> Path:
    """Twelve JPEG photos whose EXIF says whose camera it was, the last of an odd name, and a class of one."""
    write_tiny_dataset(root)
    exif = Image.Exif()
    exif[271], exif[34853] = SECRET.decode(), {1: "N", 2: (50.0, 5.0, 0.0)}
    for path in sorted((root / "images").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95, exif=exif)
        path.unlink()
    for folder, suffix in (("images", ".jpg"), ("masks", ".png")):
        (root / folder / f"photo11{suffix}").rename(root / folder / (ODD + suffix))
    (root / "classes.txt").write_text(f"background\ndisc\n{ODD_CLASS}\n")
    (root / "splits" / "val.txt").write_text(f"photo08\nphoto09\nphoto10\n{ODD}\n")
    return root


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.style = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.style = tag == "style"

    def handle_endtag(self, tag):
        self.style = False

    def handle_data(self, data):
        self.text += "" if self.style else data

    def pictures(self) -> list[bytes]:
        found = [a["src"].partition(",") for tag, a in self.elements if tag == "img"]
        assert all(kind == "data:image/jpeg;base64" for kind, _, _ in found)
        return [base64.b64decode(data) for _, _, data in found]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(data, run) of six steps; the report is written by `train`."""
    networks.NETWORKS["tiny"] = TINY
    quiet = pytest.MonkeyPatch()
    quiet.setattr(sys.modules["labels2masks.training.train"], "_tensorboard", lambda folder, step: None)
    place = tmp_path_factory.mktemp("odd & i")
    data = open_dataset(write_odd_dataset(place / "data"))
    plan = write_plan(place / "plan.json", plan_for(data, val="auto", validations=2))
    yield data, l2m.train(data, plan=plan, out=place / ODD_RUN)
    quiet.undo()
    del networks.NETWORKS["tiny"]


def test_a_finished_run_has_all_its_parts(trained):
    folder = trained[1].folder
    parts = {"plan.json", "environment.json", "metrics.json", "metrics.csv", "confusions.npz", "report.html"}
    assert parts | {"split.json", "first_batches.png", "model.safetensors"} <= {p.name for p in folder.iterdir()}
    for name in ("loss", "iou", "confusion", "reliability"):
        assert ElementTree.parse(folder / "plots" / f"{name}.svg").getroot().get("viewBox")
    assert len(list((folder / "overlays").iterdir())) == 4
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["threads"] == 1 and environment["packages"]["torch"] and environment["cores"] >= 1
    assert str(Path.home()) not in json.dumps(environment) and platform.node() not in environment.values()


def test_the_page_holds_all_it_shows_and_asks_for_nothing(trained):
    page = Page(trained[1].folder / "report.html")
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base", "input"}
    for tag, attributes in page.elements:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "srcset", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,"))
    html = (trained[1].folder / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"[a-z]+://[^\s\"'<]*", html)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in html and "@import" not in html


def test_the_policy_knows_its_one_style_sheet(trained):
    html = (trained[1].folder / "report.html").read_text(encoding="utf-8")
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = Page(trained[1].folder / "report.html")
    (policy,) = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; ") and f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_names_are_text_wherever_they_stand(trained):
    data, run = trained
    page = Page(run.folder / "report.html")
    for name in (ODD, ODD_CLASS, ODD_RUN):
        assert name in page.text
    assert not [a for t, a in page.elements if t in ("b", "i")]
    for path in (run.folder / "plots").iterdir():
        assert not [e for e in ElementTree.parse(path).iter() if e.tag.endswith("script")]
    assert str(data.root.parent) not in page.text


def test_pictures_are_made_anew_without_exif(trained):
    folder = trained[1].folder
    assert SECRET in (trained[0].photos[0].image).read_bytes()
    made = Page(folder / "report.html").pictures()
    assert len(made) == 4 * 4 + 1  # photo, truth, prediction, error of each; the first batches
    for picture in [*made, *(p.read_bytes() for p in (folder / "overlays").iterdir())]:
        assert SECRET not in picture and b"Exif" not in picture
        with Image.open(io.BytesIO(picture)) as opened:
            assert not opened.getexif() and max(opened.size) >= 240


def test_the_worst_photo_is_first(trained):
    scored = l2m.evaluation.PerPhoto.load(trained[1].folder / "confusions.npz")
    means = [np.mean([c["iou"] for c in scored.of(i).scores()["per_class"].values() if c["iou"] is not None])
             for i in range(4)]  # fmt: skip
    text = Page(trained[1].folder / "report.html").text
    places = [text.index(f"{place} of 4{scored.names[i]}") for place, i in enumerate(np.argsort(means), 1)]
    assert places == sorted(places)


def test_scores_of_the_page_are_those_of_evaluate(trained):
    data, run = trained
    scores = run.evaluate(data, "val")
    assert f"{100 * scores['miou']:.1f}mIoU" in Page(run.folder / "report.html").text
    scored = l2m.evaluation.PerPhoto.load(run.folder / "confusions.npz")
    assert scored.confusion.counts.tolist() == scores["confusion"]
    assert run.metrics["calibration_error"] == pytest.approx(scores["calibration_error"])


def test_without_photos_there_is_no_picture_and_no_data_needed(trained, tmp_path):
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(trained[1].folder, folder)
    shutil.rmtree(folder / "overlays")
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps({**plan, "data": str(tmp_path / "gone")}))
    with pytest.raises(DataError, match="no longer at .*gone: name them with --data, or leave out with --no-photos"):
        l2m.Run(folder).report()
    page = Page(l2m.Run(folder).report(no_photos=True))
    assert not page.pictures() and not (folder / "overlays").exists() and "without photos" in page.text
    assert Page(l2m.Run(folder).report(trained[0])).pictures()


def test_a_report_is_made_over_only_on_request(trained, capsys):
    data, run = trained
    page = run.folder / "report.html"
    again = run.report(data).read_bytes()
    page.write_text("mine")
    l2m.train(data, out=run.folder, resume=True)
    assert page.read_text() == "mine"
    page.unlink()
    l2m.train(data, out=run.folder, resume=True)
    assert page.read_bytes() == again
    page.write_text("mine")
    assert cli.main(["report", str(run.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(page) and page.read_bytes() == again


def test_what_is_not_its_own_is_refused(trained, tmp_path, capsys):
    other = open_dataset(write_tiny_dataset(tmp_path / "other"))
    with pytest.raises(UsageError, match="choose the same with --classes"):
        trained[1].report(other)
    assert cli.main(["report", str(tmp_path)]) == 2 and "no finished run" in capsys.readouterr().err
    assert cli.main(["report", str(trained[1].folder), "--classes", "disc"]) == 2
    assert "need --data" in capsys.readouterr().err


def test_a_photo_that_is_gone_is_named_and_the_rest_is_shown(trained, tmp_path):
    data = open_dataset(write_odd_dataset(tmp_path / "again"))
    (tmp_path / "again" / "images" / "photo09.jpg").write_bytes(b"")
    page = Page(trained[1].report(data))
    assert "photo09: can no longer be read" in page.text and len(page.pictures()) == 3 * 4 + 1
    trained[1].report(trained[0])


def test_a_run_without_a_score_shows_photos_and_says_so(trained, tmp_path):
    data = trained[0]
    run = l2m.train(data, plan=write_plan(tmp_path / "plan.json", plan_for(data, 2)), out=tmp_path / "run")
    page = Page(run.folder / "report.html")
    assert "not scored" in page.text and "mIoU" not in page.text and "of the training set" in page.text
    assert len(page.pictures()) == 8 * 4 + 1 and not (run.folder / "confusions.npz").exists()


def test_folds_show_each_photo_by_the_network_that_never_saw_it(trained, tmp_path, monkeypatch):
    from dataclasses import replace

    data = replace(trained[0], splits={})
    plan = plan_for(data, 2, val="auto")
    assert len(plan.fold_names) == 5
    run = l2m.train(data, plan=write_plan(tmp_path / "plan.json", plan), out=tmp_path / "run")
    scored = l2m.evaluation.PerPhoto.load(run.folder / "confusions.npz")
    assert sorted(scored.names) == sorted(p.name for p in data)
    used = []
    monkeypatch.setattr(
        "labels2masks.report.run_report.load_model", lambda path: used.append(path) or l2m.load_model(path)
    )
    run.report(data)
    assert {p.parent.name for p in used} == set("01234")


def test_labels_beside_the_mask_have_a_panel_of_their_own(trained, tmp_path):
    from dataclasses import replace

    from labels2masks.labels import Point, Points, Tags
    from labels2masks.report.worst import shown_without

    photo = trained[0].photos[0]
    more = (*photo.labels, Points((Point("disc", 5, 5),)), Tags(frozenset({"disc"})))
    data = replace(trained[0], photos=(replace(photo, labels=more),))
    (shown,) = shown_without(data, lambda p: (p.loaded()[0], np.zeros((48, 64), np.int32)))
    assert list(shown.panels) == ["photo", "labels", "truth", "prediction", "error"]
    assert shown.said == "tags disc" and len({p.shape for p in shown.panels.values()}) == 1


def test_the_error_picture_marks_what_is_wrong():
    from labels2masks.report.worst import error_picture

    image, truth = draw_photo(np.random.default_rng(3))
    truth_HW = np.where(truth == 255, -1, truth.astype(np.int32))
    mask_HW = np.where(truth_HW == 1, 0, truth_HW)  # discs are missed
    picture = error_picture(image, mask_HW, truth_HW).astype(int)
    red = picture[..., 0] - picture[..., 2]
    assert red[truth_HW == 1].min() > 100 and abs(red[(truth_HW == 0) | (truth_HW == 2)]).max() == 0
    assert picture[truth_HW < 0].mean() < 120 < picture[truth_HW == 0].mean()
