"""An audit in its folder: what was drawn stays drawn, what was answered stays answered, and nothing foreign gets in."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import labels2masks as l2m
from labels2masks.classes import Classes
from labels2masks.errors import DataError, UsageError
from labels2masks.evaluation.answers import UNCLEAR, Pixel, Table, Words
from labels2masks.evaluation.audit import open_audit
from labels2masks.evaluation.begin_audit import begin_audit
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.formats.image import read_mask
from labels2masks.grid import Grid
from labels2masks.prediction.model import Model


@pytest.fixture
def tiny(tmp_path):
    """(photos with their truth, a folder of masks that are right but for their left quarter, which is background)"""
    data = l2m.open(write_tiny_dataset(tmp_path / "tiny", photos=6))
    masks = tmp_path / "masks"
    masks.mkdir()
    for photo in data:
        ids_HW = read_mask(photo.labels[0].path)
        ids_HW[ids_HW == 255] = 0
        ids_HW[:, :16] = 0
        Image.fromarray(ids_HW.astype(np.uint8)).save(masks / f"{photo.name}.png")
    (masks / "classes.txt").write_text("background\ndisc\nbox\n")
    return data, masks


def name_all(audit, data, count=None):
    """Answers from the truth, as a person would give them."""
    truth = {photo.name: truth_mask(photo, 48, 64) for photo in data}
    table = Table.read(audit.table)
    for pixel, row in zip(audit.pixels[:count], table.rows, strict=False):
        answer = int(truth[pixel.photo][pixel.y, pixel.x])
        row[table.place["answer"]] = audit.words.word(answer)
    table.write()


def test_where_every_pixel_is_named_it_is_what_evaluate_says(tiny, tmp_path):
    data, masks = tiny[0].subset(["photo01", "photo04"]), tiny[1]
    pixels = 2 * 48 * 64
    audit = begin_audit(masks, data, tmp_path / "audit", clicks=2 * pixels)
    assert len(audit.pixels) == pixels == len({(p.photo, p.x, p.y) for p in audit.pixels})
    name_all(audit, data)
    scores, found = l2m.evaluate(masks, replace(data, splits={})), audit.estimate()
    assert found.miou.value == pytest.approx(scores["miou"]) and found.miou.low == found.miou.high
    assert [i.value for i in found.iou_C] == pytest.approx([c["iou"] for c in scores["per_class"].values()])
    assert found.unclear.value == pytest.approx(1 - scores["pixels"] / pixels)


def test_a_sample_comes_near_and_says_how_near(tiny, tmp_path):
    data, masks = tiny
    scores = l2m.evaluate(masks, replace(data, splits={}))
    audit = begin_audit(masks, data, tmp_path / "audit", clicks=300)
    name_all(audit, data)
    found = audit.estimate()
    assert found.miou.low < scores["miou"] < found.miou.high < found.miou.low + 0.25


def test_click_by_click_with_the_answers_on_the_disk(tiny, tmp_path):
    data, masks = tiny
    audit = begin_audit(masks, data, tmp_path / "audit", clicks=20)
    assert audit.estimate() is None and audit.next().number == 1
    for number in range(1, 8):
        assert audit.next().number == number
        audit.answer(number, "Background " if number % 2 else "unclear")
        again = open_audit(tmp_path / "audit")
        assert again.answers() == {n: 0 if n % 2 else UNCLEAR for n in range(1, number + 1)}
        assert again.estimate() == audit.estimate() is not None
    audit.answer(3, "disc")
    audit.answer(5, "")
    assert audit.answers()[3] == 1 and 5 not in audit.answers() and audit.next().number == 5
    with pytest.raises(DataError, match="unknown class 'dsic' - did you mean 'disc'"):
        audit.answer(6, "dsic")
    with pytest.raises(UsageError, match="number 21; this audit has 1 to 20"):
        audit.answer(21, "disc")


def test_answers_behind_a_gap_are_kept_and_not_used(tiny, tmp_path):
    data, masks = tiny
    audit = begin_audit(masks, data, tmp_path / "audit", clicks=20)
    for number in (1, 2, 4):
        audit.answer(number, "background")
    two = audit.estimate()
    audit.answer(3, "unclear")
    assert audit.estimate() != two and sorted(audit.answers()) == [1, 2, 3, 4]


def test_more_clicks_go_on_in_the_same_order_and_lose_no_answer(tiny, tmp_path):
    data, masks = tiny
    few = begin_audit(masks, data, tmp_path / "audit", clicks=40)
    name_all(few, data, 30)
    lines = few.table.read_text().splitlines()
    lines = [line + (",seen" if k == 4 else ",") for k, line in enumerate(lines)]  # a column of one's own
    few.table.write_text("\n".join([lines[0] + "notes", *random.Random(0).sample(lines[1:-2], 38)]) + "\n")
    before, bytes_before = few.answers(), few.table.read_bytes()
    many = begin_audit(masks, data, tmp_path / "audit", clicks=100)
    assert many.key == few.key and many.pixels[:40] == few.pixels and len(many.pixels) == 100
    assert many.answers() == before and len(before) == 30
    assert many.table.read_text().startswith(bytes_before.decode().strip())  # as it was, and new rows below
    assert many.table.read_text().count("seen") == 1
    other = begin_audit(masks, data, tmp_path / "other", clicks=100)
    assert other.pixels == many.pixels and other.key == many.key
    for clicks in (None, 10):
        again = many.table.read_bytes()
        assert begin_audit(masks, data, tmp_path / "audit", clicks) == many and many.table.read_bytes() == again


def test_what_is_not_the_same_is_refused(tiny, tmp_path):
    data, masks = tiny
    out = tmp_path / "audit"
    begin_audit(masks, data, out, clicks=10, seed=3)
    assert begin_audit(masks, data, out).seed == 3
    with pytest.raises(UsageError, match="drawn with --seed 3"):
        begin_audit(masks, data, out, seed=4)
    with pytest.raises(UsageError, match="another model or other masks"):
        begin_audit(masks, data.subset(["photo00", "photo01"]), out)
    path = masks / "photo02.png"
    mask = path.read_bytes()
    Image.new("L", (64, 48)).save(path)
    with pytest.raises(UsageError, match="another model or other masks"):
        begin_audit(masks, data, out, clicks=20)
    path.write_bytes(mask)
    assert len(begin_audit(masks, data, out, clicks=20).pixels) == 20
    with pytest.raises(UsageError, match="--clicks takes 1 or more, got 0"):
        begin_audit(masks, data, tmp_path / "new", clicks=0)
    with pytest.raises(UsageError, match="exists and holds no audit"):
        begin_audit(masks, data, masks)
    with pytest.raises(UsageError, match="holds no audit; begin one"):
        open_audit(masks)
    (masks / "classes.txt").unlink()
    with pytest.raises(UsageError, match="put a classes.txt beside the masks"):
        begin_audit(masks, l2m.open(data.photos[0].image.parent), tmp_path / "new")
    (out / "draw.json").write_text((out / "draw.json").read_text().replace('"key"', '"kez"'))
    with pytest.raises(DataError, match="damaged"):
        open_audit(out)


PIXELS = tuple(Pixel(k, f"a{k}", 10 * k, k, 3) for k in range(1, 5))
WORDS = Words(Classes(("background", "Traffic light", "cat")))
HEAD = "number,photo,x,y,answer,audit\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "1,a1,10,1,cat,k1\n2,a2,20,2,cta,k1\n", "line 3: unknown class 'cta' - did you mean 'cat'"),
        (HEAD + "1,a1,10,1,cat,k2\n", "line 2: a row of another audit .k2 in the column 'audit', k1 in this folder"),
        (HEAD + "1,a1,10,1,cat\n", "line 2: a row of another audit .nothing"),
        (HEAD + "5,a1,10,1,cat,k1\n", "line 2: number '5'; expected 1 to 4"),
        (HEAD + "one,a1,10,1,cat,k1\n", "line 2: number 'one'"),
        (HEAD + "1,a1,10,1,,k1\n\n\n1,a1,10,1,cat,k1\n", "line 5: number 1 is in line 2 too"),
        (HEAD + "2,a1,10,1,cat,k1\n", "line 2: number 2 is the pixel 20, 2, not 10, 1; rows must stay"),
        ("number,photo,x,y,audit\n", "line 1: no column 'answer'; expected number, photo, x, y, answer, audit"),
        ("", "line 1: no column 'number'"),
        (HEAD + '1,"' + "a" * 200_000 + '",10,1,cat,k1\n', "not a table"),
        ("\ufeff".encode("utf-16-le") + b"a", "damaged text in UTF-16"),
    ],
)
def test_a_fault_in_the_table_is_named_with_its_line(text, says, tmp_path):
    path = tmp_path / "audit.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=says) as caught:
        Table.read(path).answers(PIXELS, "k1", WORDS)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        Table.read(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("before", "encoding"),
    [("", "utf-8"), ("", "utf-8-sig"), ("", "utf-16"), ("", "cp1252")],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_make_of_it_is_read(before, encoding, delimiter, tmp_path):
    rows = [
        "Number, PHOTO,x,y,Answer ,audit",
        "2,für,20,2, TRAFFIC  light ,k1",
        ",,,,,",
        "1,a,10,1,?,k1",
        "3,a,30,3,,k1",
    ]
    path = tmp_path / "audit.csv"
    path.write_bytes("\r\n".join(rows).replace(",", delimiter).encode(encoding))
    table = Table.read(path)
    assert table.answers(PIXELS, "k1", WORDS) == {2: 1, 1: UNCLEAR}
    table.add(PIXELS, "k1")
    table.write()
    again = Table.read(path)
    assert again.answers(PIXELS, "k1", WORDS) == {2: 1, 1: UNCLEAR} and len(again.rows) == 4
    assert "für" in path.read_text(encoding="utf-8") and again.delimiter == delimiter


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).map(str.strip).filter(bool)


@given(st.lists(names, min_size=4, max_size=4), st.lists(st.integers(-1, 2), min_size=4, max_size=4), st.randoms())
def test_names_of_all_kinds_come_back(tmp_path_factory, photos, given_answers, chance):
    path = tmp_path_factory.mktemp("names") / "audit.csv"
    pixels = [replace(p, photo=name) for p, name in zip(PIXELS, photos, strict=True)]
    table = Table.new(path)
    table.add(pixels, "k1")
    for row, answer in zip(table.rows, given_answers, strict=True):
        row[table.place["answer"]] = WORDS.word(answer)
    chance.shuffle(table.rows)
    table.write()
    again = Table.read(path)
    assert again.answers(pixels, "k1", WORDS) == {k + 1: a for k, a in enumerate(given_answers)}
    assert not any(row[1].startswith(("=", "+", "-", "@")) for row in again.rows)  # no spreadsheet runs a file's name


def test_words_of_a_class_list_that_has_our_own():
    words = Words(Classes(("unclear", "Cat", "cat")))
    assert (
        words.meant("Unclear") == 0 and words.meant("void") == UNCLEAR == words.meant("?") and words.unclear == "void"
    )
    assert words.meant("Cat") == 1 and words.meant("cat") == 2


def brightness(path: Path) -> Model:
    """A model that tells bright from dark, and is surer the farther from grey; its file is only hashed."""
    path.write_bytes(b"weights")

    def forward(image_HW3: np.ndarray) -> np.ndarray:
        bright_HW = image_HW3.mean(axis=2, dtype=np.float32) / 25 - 5
        return np.stack([-bright_HW, bright_HW])

    return Model(Classes(("dark", "bright")), {}, forward, Grid(1, 1, 0.5, 0.5), path=path)


def test_a_model_predicts_once_and_an_audit_that_was_cut_off_goes_on(tiny, tmp_path, monkeypatch):
    data, out = tiny[0], tmp_path / "audit"
    (data.photos[1].image).write_bytes(b"broken")
    model = brightness(tmp_path / "a.onnx")
    with monkeypatch.context() as patch:
        patch.setattr("labels2masks.evaluation.begin_audit.draw", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            begin_audit(model, data, out, clicks=30)
    assert len(list((out / "strata").iterdir())) == 5 and not (out / "audit.csv").exists()
    with pytest.raises(UsageError, match="holds no audit"):
        open_audit(out)
    other = brightness(tmp_path / "b.onnx")
    other.path.write_bytes(b"other weights")
    with pytest.raises(UsageError, match="another model"):
        begin_audit(other, data, out)
    with monkeypatch.context() as patch:
        patch.setattr(Model, "predict_confidence", lambda *_: 1 / 0)  # every map is there
        audit = begin_audit(model, data, out, clicks=30)
    assert len(audit.photos) == 5 and audit.skipped[0]["image"] == "photo01" and len(audit.strata) > 2
    Image.new("RGB", (64, 48)).save(data.photos[1].image)  # what was left out stays left out
    more = begin_audit(model, data, out, clicks=60)
    assert more.pixels[:30] == audit.pixels and more.skipped == audit.skipped
    with pytest.raises(UsageError, match="other photos .0 are new, 1 are gone"):
        begin_audit(model, data.subset([p.name for p in data][:5]), out)
    for pixel in more.pixels:
        stratum_HW = read_mask(out / "strata" / f"{pixel.photo}.png")
        assert stratum_HW[pixel.y, pixel.x] == pixel.stratum
    assert more.table.read_text().startswith("number,photo,x,y,answer,audit\n1,"), "what was predicted is not told"


def test_answers_become_clicks_only_when_asked(tiny, tmp_path):
    data, masks = tiny
    audit = begin_audit(masks, data, tmp_path / "audit", clicks=12)
    with pytest.raises(DataError, match="no pixel has a class yet"):
        audit.as_clicks(data)
    audit.answer(1, "disc")
    audit.answer(2, "unclear")
    audit.answer(9, "background")
    clicks = audit.as_clicks(data)
    found = {(p.name, m.name, m.x, m.y) for p in clicks for label in p.labels for m in label.marks}
    one, nine = audit.pixels[0], audit.pixels[8]
    assert found == {
        (one.photo, "disc", one.x + 0.5, one.y + 0.5),
        (nine.photo, "background", nine.x + 0.5, nine.y + 0.5),
    }
    for photo in clicks:
        assert (photo.candidates(48, 64).labels() >= 0).any()
    draw = json.loads((tmp_path / "audit" / "draw.json").read_text())
    assert draw["pixels"][0][1:3] == [one.x, one.y]
