"""The page in a real Chromium: what a person draws is saved, shown, undone and never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

KINDS = ("point", "scribble", "box", "extreme", "polygon")


def draw_each_kind(desk) -> None:
    desk.press("2", "p")
    desk.click((25, 30))
    desk.press("s")
    desk.drag((18, 28), (26, 40), (34, 30))
    desk.press("3", "b")
    desk.drag((57, 11), (87, 41))
    desk.press("e")
    desk.click((58, 26), (70, 12), (86, 30), (72, 40))
    desk.press("l")
    desk.click((60, 14), (84, 14), (84, 38), (60, 38))
    desk.press("Enter")


def test_each_kind_is_drawn_saved_and_followed_by_masks(desk, server):
    desk.press("1", "s")
    desk.drag((4, 58), (50, 60), (90, 56))
    desk.shows(1)
    draw_each_kind(desk)
    desk.shows(6)
    desk.press("2", "t", "4", "x", "t", "x")  # a disc is there, no sky is there
    desk.shows(8)
    desk.press("2", "x", "s")
    desk.drag((50, 6), (90, 6))  # not a disc here
    desk.shows(9)
    model = desk.newer_mask(0)
    desk.saved()

    marks = desk.marks()
    assert [m["kind"] for m in marks] == ["scribble", *KINDS, "tag", "tag", "scribble"]
    assert [m["negative"] for m in marks] == [False] * 7 + [True, True]
    assert [m["name"] for m in marks] == ["background", *["disc"] * 2, *["box"] * 3, "disc", "sky", "disc"]
    by_kind = {m["kind"]: m for m in marks[1:6]}
    assert by_kind["point"]["xy"][0] == pytest.approx([25, 30], abs=0.3)
    assert by_kind["box"]["xy"] == [pytest.approx([57, 11], abs=0.3), pytest.approx([87, 41], abs=0.3)]
    assert by_kind["extreme"]["xy"][1] == pytest.approx([70, 12], abs=0.3)
    assert len(by_kind["polygon"]["xy"]) == 4 and len(by_kind["scribble"]["xy"]) >= 3
    assert all(0 <= m["seconds"] < 60 for m in marks) and sum(m["seconds"] for m in marks) > 0
    saved = {"points", "scribbles", "boxes", "regions", "tags"}
    server.until(lambda: saved <= kinds_in(server.folder / "labels.jsonl"))

    pixels = shown(desk)
    desk.press("x", "p", "3")
    desk.click((50, 50))
    desk.newer_mask(model)
    assert shown(desk) != pixels


def kinds_in(path: Path) -> set[str]:
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {label["kind"] for row in rows for label in row.get("labels", ())}


def shown(desk) -> bytes:
    """The photo with the mask alone, as it is on the screen."""
    desk.press("i")
    desk.page.mouse.move(2, 2)
    taken = desk.canvas.screenshot()
    desk.press("i")
    return taken


def test_undo_redo_erase_and_reload(desk, server):
    draw_each_kind(desk)
    desk.shows(5)
    for left in (4, 3, 2):
        desk.press("Control+z")
        desk.shows(left)
    desk.press("Control+y")
    desk.shows(3)
    desk.press("Control+Shift+Z")
    desk.shows(4)
    desk.press("d")
    desk.click((87, 26))  # the border of the box
    desk.shows(3)
    desk.page.get_by_role("button", name="Delete disc: point").click()
    desk.shows(2)
    desk.saved()
    assert [m["kind"] for m in desk.marks()] == ["scribble", "extreme"]

    desk.page.reload()
    desk.ready()
    desk.shows(2)
    assert desk.page.get_by_role("button", name="Undo").is_disabled()  # what is saved is no longer undone


def test_a_killed_server_loses_nothing(desk, server):
    desk.press("2", "p")
    desk.click((25, 30))
    desk.saved()
    server.kill()
    desk.click((20, 30), (30, 30))
    desk.shows(3)
    desk.page.locator("#saving[data-state='lost']").wait_for()
    server.start()
    desk.click((22, 34))
    desk.saved()
    desk.shows(4)
    assert [round(m["xy"][0][0]) for m in desk.marks()] == [25, 20, 30, 22]


def test_what_a_closed_tab_could_not_save_is_saved_by_the_next_one(opened, server, desk):
    server.kill()
    desk.press("2", "p")
    desk.click((25, 30))
    desk.shows(1)
    desk.page.locator("#saving[data-state='lost']").wait_for()
    desk.page.close()
    server.start()
    again = opened(desk.name)
    again.shows(1)
    again.saved()
    assert len(desk.marks()) == 1


def test_a_hundred_fast_strokes(desk, server):
    desk.press("2", "s")
    for k in range(100):
        x, y = 12 + 2.6 * (k % 10), 18 + 2.6 * (k // 10)
        desk.drag((x, y), (x + 2, y + 1))
    desk.shows(100)
    desk.saved()
    marks = desk.marks()
    assert len({m["id"] for m in marks}) == 100
    assert [m["order"] for m in marks] == sorted(m["order"] for m in marks)
    firsts = [m["xy"][0] for m in marks]
    assert firsts == [pytest.approx([12 + 2.6 * (k % 10), 18 + 2.6 * (k // 10)], abs=0.3) for k in range(100)]
    desk.newer_mask(0)


def test_two_tabs_keep_what_both_say(opened, desk):
    other = opened(desk.name)
    desk.press("2", "p")
    other.press("3", "p")
    desk.click((25, 30))
    other.click((70, 30))
    desk.click((20, 30))
    for tab in (desk, other):
        tab.shows(3)
        tab.saved()
    other.press("d")
    other.click((25, 30))  # a mark of the first tab
    for tab in (desk, other):
        tab.shows(2)
    desk.press("Control+z", "Control+z")  # its first mark is gone already: nothing of the other tab's is touched
    for tab in (desk, other):
        tab.shows(1)
    desk.saved()
    assert [m["name"] for m in desk.marks()] == ["box"]


def test_a_photo_of_24_million_pixels(opened):
    desk = opened("large", (6000, 4000))
    desk.press("2", "s")
    desk.drag((1500, 2000), (2500, 2000))
    desk.press("b")
    desk.drag((1000, 1000), (3000, 3000))
    desk.press("p")
    with desk.page.expect_response(lambda r: "image?side=" in r.url and r.ok) as sharper:
        desk.press("z", "+")
    assert int(sharper.value.url.rpartition("=")[2]) >= 4096
    box = desk.canvas.bounding_box()
    desk.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    desk.shows(3)
    desk.saved()
    stroke, around, point = desk.marks()
    assert stroke["xy"][0] == pytest.approx([1500, 2000], abs=8)
    assert around["xy"][1] == pytest.approx([3000, 3000], abs=8)
    assert point["xy"][0] == pytest.approx([3000, 2000], abs=2)
    desk.newer_mask(0)
