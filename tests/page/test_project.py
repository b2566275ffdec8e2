"""A project: what is opened, what every change does, and what is there again after a kill at any moment."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_dataset
from page.photos_folder import DECODER, added, mark, opened, write_photos

import labels2masks as l2m
from labels2masks.errors import DataError, UsageError
from labels2masks.labels import Boxes, Mask, Points, Regions, Scribbles, Tags, labelling_seconds
from labels2masks.page.project import Conflict, Project

KINDS = [
    mark("t1", "tag", xy=()),
    mark("t2", "tag", "dog", xy=(), negative=True),
    mark("p1", "point", seconds=1.5),
    mark("s1", "scribble", "ground", xy=((1, 1), (20, 30)), width=4),
    mark("n1", "scribble", "cat", xy=((50, 5), (60, 5)), negative=True),
    mark("b1", "box", xy=((2, 3), (30, 40))),
    mark("e1", "extreme", xy=((40, 20), (45, 10), (60, 20), (45, 40))),
    mark("g1", "polygon", xy=((5, 30), (15, 30), (10, 45))),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def names_now(project: Project) -> list[str]:
    return list(project.classes.names)


def test_every_kind_is_drawn_written_and_opened_again(folder):
    with opened(folder, "cat", "dog") as project:
        background = project.classes.background
        kinds = [{**m, "name": background} if m["name"] == "ground" else m for m in KINDS]
        assert added(project, 1, *kinds) == 1
        before = [m.to_json() for m in project.marks(1)]
        assert project.state(0) == "untouched" and project.state(1) == "labelled"
    photo = l2m.open(folder).photos[1]
    assert {type(x) for x in photo.labels} == {Tags, Points, Scribbles, Boxes, Regions}
    assert photo.labels[-2:] != () and any(x.seconds == 1.5 for x in photo.labels)
    with opened(folder) as project:
        assert [m.to_json() for m in project.marks(1)] == before
        assert [m["made"] for m in before] == ["page"] * len(KINDS)


def test_a_mark_that_is_sent_twice_is_there_once(folder):
    with opened(folder, "cat") as project:
        assert added(project, 0, mark("a")) == added(project, 0, mark("a"), base=0) == 1
        assert len(project.marks(0)) == 1
        with pytest.raises(Conflict):
            added(project, 0, mark("a", xy=((9, 9),)))


def test_undo_brings_a_mark_back_in_its_old_place(folder):
    with opened(folder, "cat", "dog") as project:
        added(project, 0, mark("a", "scribble", xy=((5, 5), (25, 5))))
        added(project, 0, mark("b", "scribble", "dog", xy=((15, 1), (15, 20))))
        before = project.photo(0).candidates(48, 64).labels()
        added(project, 0, remove=["a"])
        assert (project.photo(0).candidates(48, 64).labels() != before).any()
        added(project, 0, mark("a", "scribble", xy=((5, 5), (25, 5))))
        assert (project.photo(0).candidates(48, 64).labels() == before).all()
        assert [m.id for m in project.marks(0)] == ["a", "b"]


def test_two_windows_add_side_by_side_and_take_nothing_back_unseen(folder):
    with opened(folder, "cat") as project:
        added(project, 0, mark("a"), base=0)
        assert added(project, 0, mark("b"), base=0) == 2
        added(project, 0, remove=["a"], base=2)
        with pytest.raises(Conflict):
            added(project, 0, mark("a"), base=0)  # sent again by the window that has not heard of the removal
        added(project, 0, remove=["a"], base=0)  # gone already
        with pytest.raises(Conflict):
            added(project, 0, remove=["never"])
        assert [m.id for m in project.marks(0)] == ["b"]


@pytest.mark.parametrize("cut", [1, 20, None])
def test_a_kill_between_and_during_writes_loses_nothing_that_was_answered(folder, cut):
    """The process is not given the chance to write anything more; a line that was cut off was never answered."""
    project = Project(folder, ("cat",), DECODER)
    for k in range(20):
        added(project, k % 3, mark(f"m{k}", xy=((k + 1, k + 1),)))
    project.answer(0, "cat", "all")
    project.check(1, True)
    there = [[m.to_json() for m in project.marks(i)] for i in range(3)]
    journal = folder / ".page" / "journal.jsonl"
    whole = journal.read_bytes()
    project.file.soon = lambda: None
    project.file._pending = False
    project.close()
    if cut is not None:
        journal.write_bytes(whole + json.dumps({"photo": "p0", "add": [mark("late")], "back": []}).encode()[:cut])
    with opened(folder) as again:
        assert [[m.to_json() for m in again.marks(i)] for i in range(3)] == there
        assert again.answers(0) == {"cat": "all"} and again.checked(1) and not again.checked(0)
        assert bool(again.notes) == (cut is not None)
        assert journal.read_bytes() == whole
        added(again, 0, mark("more"))
    assert sum(len(x.marks) for p in l2m.open(folder) for x in p.labels if isinstance(x, Points)) == 21


@pytest.mark.parametrize("moment", ["before the rename", "after it"])
def test_a_kill_while_the_label_file_is_replaced_is_no_change_by_others(folder, monkeypatch, moment):
    project = Project(folder, ("cat",), DECODER)
    added(project, 0, mark("a"))
    project.flush()
    added(project, 0, mark("b", xy=((30, 30),)))
    real = os.replace

    def killed(source, target):
        if Path(target).name != "labels.jsonl":
            return real(source, target)
        if moment == "after it":
            real(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        project.flush()
    monkeypatch.setattr(os, "replace", real)
    project.file._pending = False
    project.close()
    with opened(folder) as again:
        assert again.notes == [] and [(m.id, m.made) for m in again.marks(0)] == [("a", "page"), ("b", "page")]
        again.flush()
    assert sum(len(x.marks) for x in l2m.open(folder).photos[0].labels) == 2


def test_a_full_disk_refuses_the_change_and_keeps_what_was_there(folder, monkeypatch):
    with opened(folder, "cat") as project:
        added(project, 0, mark("a"))
        journal = (folder / ".page" / "journal.jsonl").read_bytes()
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            added(project, 0, mark("b"))
        monkeypatch.setattr(os, "fsync", real)
        assert (folder / ".page" / "journal.jsonl").read_bytes() == journal
        assert [m.id for m in project.marks(0)] == ["a"]
        added(project, 0, mark("c"))
    with opened(folder) as project:
        assert [m.id for m in project.marks(0)] == ["a", "c"]


def test_a_damaged_line_in_the_middle_is_named(folder):
    with opened(folder, "cat") as project:
        added(project, 0, mark("a"))
        added(project, 0, mark("b"))
    journal = folder / ".page" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"\x00\x00\n" + lines[2])
    with pytest.raises(DataError, match="line 2: damaged"):
        Project(folder, decoder=DECODER)


@pytest.mark.parametrize(
    "line",
    [
        {"photo": "p0", "add": [mark("../../x")], "back": [], "remove": []},
        {"photo": "p0", "add": [{**mark("x"), "xy": [[1e308, "a"]], "order": 1}], "back": [], "remove": []},
        {"photo": 3},
        {"class": "add", "name": "a\nb", "to": None, "colour": None},
        {"class": "add", "name": ["x"], "to": None, "colour": None},
    ],
)
def test_a_journal_from_somebody_else_is_checked_like_a_request(folder, line):
    (folder / ".page").mkdir()
    (folder / ".page" / "journal.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match="journal.jsonl, line 1"):
        Project(folder, decoder=DECODER)


def test_only_one_process_has_a_project_open(folder):
    with opened(folder), pytest.raises(UsageError, match="open in another"):
        Project(folder, decoder=DECODER)
    with opened(folder):
        pass


def test_labels_made_elsewhere_open_as_marks_and_stay_what_they_were(tmp_path):
    data = write_tiny_dataset(tmp_path / "tiny", photos=3)
    before = {p: p.read_bytes() for p in data.rglob("*") if p.is_file()}
    ids_HW = l2m.open(data).photos[0].labels_loaded()[0].ids_HW
    with opened(data) as project:
        assert [m.kind for m in project.marks(0)] == ["mask"] and project.state(0) == "complete"
        assert project.marks(0)[0].made == "file"
        added(project, 0, mark("a", "scribble", "disc", xy=((1, 1), (9, 1))))
        assert any(isinstance(x, Mask) for x in project.photo(0).labels)
    assert {p: p.read_bytes() for p in before} == before, "a foreign file was changed"
    again = l2m.open(data).photos[0]
    assert (again.labels_loaded()[0].ids_HW == ids_HW).all()
    assert again.candidates(48, 64).labels()[1, 5] == 1


@pytest.mark.parametrize("form", ["coco", "voc", "labelme", "yolo", "csv", "cvat"])
def test_foreign_formats_open_and_are_never_written(tmp_path, form):
    source = write_tiny_dataset(tmp_path / "tiny", photos=2)
    data = l2m.convert(source, tmp_path / form, to=form).path
    folder = data if data.is_dir() else data.parent
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with opened(folder) as project:
        assert len(project) == 2
        kinds = [m.kind for m in project.marks(0)]
        added(project, 0, mark("a", name=project.classes.names[-1]))
    assert {p: p.read_bytes() for p in before} == before
    with opened(folder) as project:
        assert [m.kind for m in project.marks(0)] == [*kinds, "point"]


def test_a_point_file_in_json_opens_with_its_clicks(tmp_path):
    write_photos(tmp_path / "photos")
    clicks = {"p1": {"fg": [{"x": 3, "y": 4, "cls": 1}], "bg": []}}
    (tmp_path / "photos" / "clicks.json").write_text(json.dumps(clicks))
    (tmp_path / "photos" / "classes.txt").write_text("background\ncat\n")
    l2m.convert(tmp_path / "photos", tmp_path / "photos" / "labels.jsonl", labels=[tmp_path / "photos" / "clicks.json"])
    with opened(tmp_path / "photos") as project:
        assert [(m.kind, m.name, m.xy) for m in project.marks(1)] == [("point", "cat", ((3.0, 4.0),))]


def test_a_label_file_that_others_changed_is_believed_and_the_journal_kept(folder):
    with opened(folder, "cat") as project:
        added(project, 0, mark("a"))
    text = (folder / "labels.jsonl").read_text().replace('"x": 5.0', '"x": 7.0')
    (folder / "labels.jsonl").write_text(text)
    with opened(folder) as project:
        assert [(m.xy, m.made) for m in project.marks(0)] == [(((7.0, 6.0),), "file")]
        assert "changed outside" in project.notes[0]
    assert (folder / ".page" / "journal-1.jsonl").is_file()


def test_photos_that_come_later_are_shown_and_those_that_go_keep_their_labels(folder):
    with opened(folder, "cat") as project:
        added(project, 2, mark("a"))
    write_photos(folder, 5)
    (folder / "p2.png").rename(folder.parent / "p2.png")
    with opened(folder) as project:
        assert [s.photo.name for s in project.states] == ["p0", "p1", "p3", "p4"]
        assert "p2" in project.notes[0]
        added(project, 3, mark("b"))
    labelled = {p.name for p in l2m.open(folder) if p.labels}
    assert labelled == {"p2", "p4"}
    (folder.parent / "p2.png").rename(folder / "p2.png")
    with opened(folder) as project:
        assert [m.id for m in project.marks(2)] == ["a"]


def test_links_that_lead_out_of_the_folder_are_not_read(folder, tmp_path):
    (tmp_path / "secret").mkdir()
    write_photos(tmp_path / "secret", 1)
    (folder / "link.png").symlink_to(tmp_path / "secret" / "p0.png")
    with opened(folder) as project:
        assert "link" not in [s.photo.name for s in project.states]
        assert "leads out of" in project.notes[0]
        target = project.states[0].photo.image
        target.unlink()
        target.symlink_to(tmp_path / "secret" / "p0.png")  # became one while the page is open
        with pytest.raises(DataError, match="leads out of"):
            project.pixels(0)


@pytest.mark.parametrize("what", ["nothing", "text.txt"])
def test_where_nothing_can_be_opened_nothing_is_left_behind(tmp_path, what):
    (tmp_path / "photos").mkdir()
    if what != "nothing":
        (tmp_path / "photos" / what).write_text("no photo")
    with pytest.raises(DataError, match="no data set"):
        Project(tmp_path / "photos", decoder=DECODER)
    assert not (tmp_path / "photos" / ".page").exists()
    with pytest.raises(DataError, match="no such"):
        Project(tmp_path / "none", decoder=DECODER)


@pytest.mark.parametrize("place", [".page", ".page/journal.jsonl", ".page/features/x", "exports"])
def test_nothing_is_written_through_a_link_that_came_with_the_folder(folder, tmp_path, place):
    (tmp_path / "outside").write_text("mine\n")
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match="is a link"):
        Project(folder, decoder=DECODER)
    assert (tmp_path / "outside").read_text() == "mine\n"


def test_a_label_file_that_reaches_out_of_the_folder_shows_nothing(folder, tmp_path):
    inside = tmp_path / "labels"
    inside.mkdir()
    l2m.convert(folder, inside / "labels.jsonl")
    with pytest.raises(DataError, match="leads out of"):
        Project(inside, decoder=DECODER)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"id": "a b"}, "letters"),
        ({"id": "x" * 65}, "letters"),
        ({"kind": "circle"}, "unknown kind"),
        ({"name": "bird"}, "add it first"),
        ({"xy": [[1, 2, 3]]}, r"\[x, y\]"),
        ({"xy": []}, "0 vertices"),
        ({"xy": [[1, None]]}, "a number"),
        ({"kind": "scribble", "xy": [[1, 1]] * 20_001}, "more than"),
        ({"kind": "scribble", "width": 0}, "a pen"),
        ({"kind": "box", "xy": [[5, 5], [5, 9]]}, "without area"),
        ({"kind": "polygon", "xy": [[5, 5], [6, 6], [7, 7]]}, "without area"),
        ({"kind": "box", "xy": [[1, 1], [9, 9]], "negative": True}, "not this"),
        ({"seconds": -1}, "seconds"),
        ({"html": "<b>"}, "unknown field"),
    ],
)
def test_what_is_no_mark_is_refused_and_changes_nothing(folder, wrong, message):
    with opened(folder, "cat") as project:
        with pytest.raises((DataError, UsageError), match=message):
            added(project, 0, mark("good"), {**mark("a"), **wrong})
        assert project.marks(0) == [] and project.version(0) == 0


def test_a_mark_that_leads_out_of_the_photo_ends_at_its_border(folder):
    with opened(folder, "cat") as project:
        added(project, 0, mark("a", "box", xy=((-5, -5), (900, 20))))
        assert project.marks(0)[0].xy == ((0.0, 0.0), (64.0, 20.0))


def test_states(folder):
    with opened(folder, "cat", "dog") as project:
        added(project, 0, mark("a"))
        project.answer(0, "cat", "all")
        assert project.state(0) == "labelled"
        added(project, 0, mark("d", "tag", "dog", xy=(), negative=True))
        assert project.state(0) == "complete"
        project.check(0, True)
        assert project.state(0) == "checked"
        project.check(0, False)
        project.answer(0, "cat", None)
        assert project.state(0) == "labelled"
        with pytest.raises(UsageError):
            project.answer(0, project.classes.background, "all")
        with pytest.raises(UsageError):
            project.answer(0, "cat", "most")


def test_seconds_reach_the_label_file_and_count_as_measured(folder):
    with opened(folder, "cat") as project:
        added(project, 0, mark("a", seconds=2.25), mark("b", xy=((30, 30),), seconds=1.5))
    photo = l2m.open(folder).photos[0]
    assert labelling_seconds(photo.labels, l2m.open(folder).classes) == 3.75


def test_classes_change_in_mid_project_and_labels_stay(folder):
    with opened(folder, "cat", "dog", "bird") as project:
        added(
            project,
            0,
            mark("a", name="cat"),
            mark("b", name="dog", xy=((30, 30),)),
            mark("c", name="bird", xy=((50, 9),)),
        )
        project.answer(0, "cat", "all")
        project.change_class("rename", "cat", to="tiger")
        project.change_class("merge", "dog", to="tiger")
        project.change_class("remove", "bird")
        project.change_class("recolour", "tiger", colour="#010203")
        project.change_class("add", "fish")
        now = [(m.id, m.name) for m in project.marks(0)]
        assert now == [("a", "tiger"), ("b", "tiger")]
        assert project.answers(0) == {}, "not every dog was promised to be marked"
        added(project, 0, mark("d", name="fish", xy=((9, 40),)))
    data = l2m.open(folder)
    assert data.classes.names[1:] == ("tiger", "fish") and data.classes.colours[1] == (1, 2, 3)
    ids_HW = data.photos[0].candidates(48, 64).labels()
    assert (ids_HW[6, 5], ids_HW[30, 30], ids_HW[9, 50], ids_HW[40, 9]) == (1, 1, -1, 2)
    with opened(folder) as project:
        assert [(m.id, m.name) for m in project.marks(0)] == [*now, ("d", "fish")]
        project.change_class("add", "bird")
        assert ("c", "bird") in [(m.id, m.name) for m in project.marks(0)]
    assert l2m.open(folder).photos[0].candidates(48, 64).labels()[9, 50] == 3


def test_opened_masks_survive_changes_of_their_classes(tmp_path):
    data = write_tiny_dataset(tmp_path / "tiny", photos=2)
    ids_HW = l2m.open(data).photos[0].labels_loaded()[0].ids_HW
    with opened(data) as project:
        project.change_class("rename", "disc", to="ring")
        project.change_class("merge", "box", to="ring")
        project.change_class("add", "star")
        added(project, 0, mark("a", name="star", xy=((1, 1),)))
    again = l2m.open(data)
    allowed_CHW = again.photos[0].candidates(48, 64).allowed()
    assert again.classes.names == ("background", "ring", "star")
    things_HW = (ids_HW == 1) | (ids_HW == 2)
    things_HW[:5, :5] = False
    assert (allowed_CHW[:, things_HW].T == (False, True, False)).all()
    ground_HW = ids_HW == 0
    ground_HW[:5, :5] = False
    assert (allowed_CHW[:, ground_HW].T == (True, False, True)).all(), "who painted it knew of no star"


def test_random_changes_replay_to_the_same_project(folder):
    """Everything that a window can send, in any order: what is opened again is what was there."""
    rng = random.Random(0)
    with opened(folder, "cat", "dog") as project:
        for k in range(150):
            i, name = rng.randrange(3), rng.choice(names_now(project))
            try:
                match rng.randrange(7):
                    case 0 | 1 | 2:
                        added(project, i, mark(f"m{k}", name=name, xy=((rng.random() * 60, rng.random() * 40),)))
                    case 3:
                        added(project, i, remove=[rng.choice(list(project.states[i].marks) or ["none"])])
                    case 4:
                        project.answer(i, name, rng.choice(["all", "some", None]))
                    case 5:
                        project.check(i, rng.random() < 0.5)
                    case 6:
                        do = rng.choice(["add", "add", "add", "rename", "merge", "recolour", "remove"])
                        to = rng.choice([f"n{k}", *names_now(project)])
                        project.change_class(do, name if do != "add" else to, to, "#102030")
            except (Conflict, UsageError):
                pass
        there = [(project.marks(i), project.answers(i), project.state(i), project.version(i)) for i in range(3)]
        classes, photos = project.classes, list(project.photos)
        assert len(classes) > 2 and sum(len(m) for m, *_ in there) > 10
    with opened(folder) as project:
        assert [(project.marks(i), project.answers(i), project.state(i), project.version(i)) for i in range(3)] == there
        assert project.classes == classes and list(project.photos) == photos
    data = l2m.open(folder)
    assert data.classes == classes
    for one, other in zip(data, photos, strict=True):
        assert (one.candidates(48, 64).allowed() == other.candidates(48, 64).allowed()).all()
        assert np.array_equal(one.loaded()[0], other.loaded()[0])
