"""The verb `audit`: a page that shows photos and no prediction, a picture, a table, and the command around them."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import write_tiny_dataset
from PIL import Image

import labels2masks as l2m
from labels2masks import cli
from labels2masks.classes import Classes
from labels2masks.evaluation.answers import Table
from labels2masks.evaluation.audit import open_audit
from labels2masks.evaluation.stratified import estimate
from labels2masks.formats.image import read_mask
from labels2masks.report.audit import audit, audit_text
from labels2masks.report.audit_plot import audit_plot
from labels2masks.report.audit_sheet import _cut, write_sheet

ODD, ODD_CLASS, SECRET = "a <b>&'é", "<script>x", b"52.37N 4.89E"


@pytest.fixture
def tiny(tmp_path) -> tuple[Path, Path]:
    """(photos, a folder of their masks): two classes and background, names that no page may take for markup."""
    root = write_tiny_dataset(tmp_path / "tiny", photos=4)
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()  # what is in the file and must not get out
    for path in sorted((root / "images").iterdir()):
        Image.open(path).convert("RGB").save(path.with_name(f"{ODD}{path.stem}.jpg"), exif=exif)
        path.unlink()
        ids_HW = read_mask(root / "masks" / path.name)
        ids_HW[ids_HW == 255] = 0
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(ids_HW.astype(np.uint8)).save(tmp_path / "masks" / f"{ODD}{path.stem}.png")
    (tmp_path / "masks" / "classes.txt").write_text(f"background\n{ODD_CLASS}\nbox\n")
    return root / "images", tmp_path / "masks"


def answer(folder: Path, count: int, word: str = "background") -> None:
    drawn = open_audit(folder)
    table = Table.read(drawn.table)
    for row in table.rows[:count]:
        row[table.place["answer"]] = word
    table.write()


def test_the_page_shows_every_pixel_asks_for_nothing_and_tells_no_prediction(tiny, tmp_path):
    photos, masks = tiny
    drawn = audit(masks, photos, tmp_path / "a", clicks=55)
    html = (tmp_path / "a" / "index.html").read_text(encoding="utf-8")
    assert drawn["miou"] is None and re.findall(r'id="p(\d+)"', html) == [str(n) for n in range(1, 56)]
    assert html.count("<section") == 2 and "unclear" in html
    for reference in re.findall(r'(?:src|href)="([^"]*)"', html):
        assert reference.startswith(("data:image/jpeg;base64,", "#"))
    assert "script" not in re.findall(r"<(\w+)", html) and "<b>&amp;" not in html and "style=" not in html
    assert "a &lt;b&gt;&amp;&#x27;é" in html and "&lt;script&gt;x" in html
    assert set(re.findall(r"[a-z]+://[^\s\"'<]*", html)) == {"http://www.w3.org/2000/svg"}
    shown = [base64.b64decode(x) for x in re.findall(r"data:image/jpeg;base64,([^\"]+)", html)]
    assert len(shown) == 55 + len({p.photo for p in open_audit(tmp_path / "a").pixels})
    assert SECRET in next(photos.iterdir()).read_bytes() and not any(SECRET in x or b"Exif" in x for x in shown)
    drawn = open_audit(tmp_path / "a")
    blind = replace(drawn, pixels=tuple(replace(p, stratum=0) for p in drawn.pixels), strata={})
    write_sheet(tmp_path / "blind.html", blind, l2m.open(photos))
    assert (tmp_path / "blind.html").read_text(encoding="utf-8") == html, "what was predicted is on the page"


def test_the_cross_is_on_the_pixel():
    image_HW3 = np.zeros((300, 400, 3), np.uint8)
    for x, y in ((0, 0), (399, 299), (200, 100), (30, 290)):
        image_HW3[:] = 0
        image_HW3[y, x] = 255
        cut = _cut(image_HW3, x - 80, y - 80, 160)
        assert cut.shape == (160, 160, 3) and tuple(np.argwhere(cut[..., 0] == 255)[0]) == (80, 80)
    image_HW3[:] = 0
    image_HW3[120:130, 240:250] = 255
    shrunk = _cut(image_HW3, 240 - 320, 120 - 320, 640)  # of a photo of 5,120 pixels
    assert shrunk.shape == (320, 320, 3) and shrunk[161:164, 161:164].min() == 255


def test_the_page_is_made_anew_only_for_more_pixels(tiny, tmp_path):
    photos, masks = tiny
    page = tmp_path / "a" / "index.html"
    audit(masks, photos, tmp_path / "a", clicks=5)
    audit(masks, photos, tmp_path / "b", clicks=5)
    assert page.read_bytes() == (tmp_path / "b" / "index.html").read_bytes()
    page.write_text(page.read_text(encoding="utf-8") + "<!-- mine -->", encoding="utf-8")
    audit(masks, photos, tmp_path / "a")
    assert "mine" in page.read_text(encoding="utf-8")
    next(photos.iterdir()).write_bytes(b"")
    audit(masks, photos, tmp_path / "b", clicks=5)  # nothing is read again
    page.unlink()
    audit(masks, photos, tmp_path / "a")
    assert "can no longer be read" in page.read_text(encoding="utf-8")


def test_the_command_draws_estimates_and_exports(tiny, tmp_path, capsys):
    photos, masks = tiny
    out, labels = tmp_path / "a", tmp_path / "labels.jsonl"
    words = ["audit", str(masks), str(photos), "--out", str(out)]
    assert cli.main([*words, "--clicks", "40"]) == 0
    shown = capsys.readouterr().out
    assert "40 pixels to name" in shown and "mIoU" not in shown and not (out / "audit.json").exists()
    answer(out, 25)
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "estimated from 25 named pixels" in shown and "15 pixels to name" in shown
    assert f"not among the answers, not in the mean: {ODD_CLASS}, box" in shown and "mIoU means" in shown
    assert "more answers would halve the bands" in shown and "25 random pixels" in shown
    assert cli.main([*words, "--labels", str(labels), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    kept = json.loads((out / "audit.json").read_text())
    assert kept == {key: told[key] for key in kept} and not {"out", "picture", "labels"} & set(kept)
    assert told["answered"] == 25 and told["miou"]["band"][0] < told["miou"]["value"] < told["miou"]["band"][1]
    assert told["more_to_halve"] == 75
    assert sum(len(label.marks) for p in l2m.open(labels) for label in p.labels) == 25
    assert cli.main([*words, "--labels", str(labels)]) == 2 and "exists already" in capsys.readouterr().err
    ElementTree.parse(told["picture"])
    table = out / "audit.csv"
    table.write_text(table.read_text().replace("background", "backgrund", 1))
    assert cli.main(words) == 3
    shown = capsys.readouterr().err
    assert f"{table}, line 2: unknown class 'backgrund' - did you mean 'background'?" in shown


def test_the_text_says_what_to_do_and_what_was_left_out(tiny, tmp_path):
    photos, masks = tiny
    found = audit(masks, photos, tmp_path / "a", clicks=10)
    drawn = open_audit(tmp_path / "a")
    for number in (1, 2, 4):
        drawn.answer(number, "background")
    found = audit(masks, photos, tmp_path / "a")
    text = audit_text({**found, "seen_in_training": 2, "skipped": [{"image": "x", "reason": "x.jpg: damaged"}]})
    assert "7 pixels to name" in text and "number 3 has no answer: the 1 behind it are not used" in text
    assert "no fair score" in text and "1 photos could not be read and are left out; the first: x.jpg: damaged" in text
    for number in range(1, 11):
        drawn.answer(number, "unclear")
    found = audit(masks, photos, tmp_path / "a")
    assert found["miou"] is None and found["unclear"]["value"] == 1 and "not scored" in audit_text(found)


def test_one_image_is_enough_and_a_split_is_taken(tiny, tmp_path):
    photos, masks = tiny
    image = sorted(photos.iterdir())[0]
    assert audit(masks, image, tmp_path / "a", clicks=5)["photos"] == 1
    root = write_tiny_dataset(tmp_path / "split")
    (root / "masks" / "classes.txt").write_text("background\ndisc\nbox\n")
    assert audit(root / "masks", root, tmp_path / "b", clicks=5, split="val")["photos"] == 4


def test_the_picture_says_what_the_numbers_say():
    classes = Classes(("ground", ODD_CLASS, "nowhere"))
    found = estimate(np.array([[50, 4, 0, 2], [3, 9, 0, 1]]), np.array([9000, 1000]), np.array([0, 1]))
    root = ElementTree.fromstring(audit_plot(classes, found, 69))
    titles = [e.text for e in root.iter() if e.tag.endswith("title")]
    iou = found.iou_C[1]
    assert (
        f"IoU of {ODD_CLASS}: {100 * iou.value:.1f} %, 95 % band {100 * iou.low:.1f} to {100 * iou.high:.1f}" in titles
    )
    assert "not among the answers" in "".join(root.itertext())
    nothing = estimate(np.array([[0, 0, 5]]), np.array([9000]), np.array([0]))
    assert "mIoU" in "".join(ElementTree.fromstring(audit_plot(Classes(("a", "b")), nothing, 5)).itertext())
