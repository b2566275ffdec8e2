"""What the page is answered, through the guard, without a socket."""

from __future__ import annotations

import io
import json
import threading
import time
import zlib

import numpy as np
import pytest
from page.photos_folder import DECODER, TOKEN, mark, opened, served, write_photos
from PIL import Image

import labels2masks as l2m
from labels2masks.page.class_names import hex_colour
from labels2masks.page.server import told_apart


@pytest.fixture
def folder(tmp_path):
    return write_photos(tmp_path / "photos")


@pytest.fixture
def page(folder):
    with opened(folder, "cat", "dog") as project, served(project) as client:
        yield client


def draw(client, i, *marks, base=0, remove=()):
    return client.post(f"/api/photos/{i}/marks", json={"base": base, "add": list(marks), "remove": list(remove)})


def test_the_project_is_told(page):
    told = page.get("/api/project").json()
    assert [c["name"] for c in told["classes"]] == ["background", "cat", "dog"]
    assert [c["background"] for c in told["classes"]] == [True, False, False]
    assert told["photos"][1] == {
        "i": 1,
        "name": "p1",
        "width": 64,
        "height": 48,
        "state": "untouched",
        "confidence": None,
        "version": 0,
    }
    assert told["can"] == {"train": False, "audit": False, "export": False}
    assert len(told["palettes"]["colour-blind"]) == 3


def test_the_page_itself_holds_no_script_of_its_own_and_asks_nobody_else(page):
    html = page.get("/").text
    assert "<script" in html and 'src="/static/' in html
    assert "http://" not in html and "https://" not in html and "onclick" not in html and "style=" not in html
    assert "<script>" not in html and "<style" not in html
    assert page.get("/static/style.css").status_code == 200
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static//etc/passwd"):
        assert page.get(path).status_code == 404


def test_marks_are_added_removed_and_told(page):
    assert draw(page, 0, mark("a", seconds=2.5), mark("b", xy=((9, 9),))).json() == {"version": 1}
    assert draw(page, 0, base=1, remove=["b"]).json() == {"version": 2}
    assert draw(page, 0, base=1, remove=["b"]).json() == {"version": 2}
    told = page.get("/api/photos/0/marks").json()
    assert told["version"] == 2 and told["answers"] == {"cat": None, "dog": None} and told["checked"] is False
    (there,) = told["marks"]
    assert there["seconds"] == 2.5 and there["made"] == "page" and there["order"] == 1
    refused = draw(page, 0, base=2, remove=["nothing"])
    assert refused.status_code == 409 and refused.json()["marks"] == told["marks"] and refused.json()["version"] == 2


def test_answers_and_checks(page):
    assert page.post("/api/photos/1/answer", json={"name": "cat", "value": "all"}).json() == {"version": 1}
    assert page.post("/api/photos/1/checked", json={"value": True}).json() == {"version": 2}
    assert page.get("/api/photos/1/marks").json()["answers"]["cat"] == "all"
    assert page.get("/api/project").json()["photos"][1]["state"] == "checked"
    assert page.post("/api/photos/1/answer", json={"name": "cat", "value": None}).json() == {"version": 3}
    assert page.get("/api/next?after=0").json() == {"i": 2}


def test_classes_are_changed(page):
    draw(page, 0, mark("a"))
    told = page.post("/api/classes", json={"op": "rename", "name": "cat", "to": "tiger"}).json()
    assert [c["name"] for c in told["classes"]] == ["background", "tiger", "dog"]
    told = page.post("/api/classes", json={"op": "add", "name": "bird", "colour": "#102030"}).json()
    assert told["classes"][-1] == {"name": "bird", "colour": "#102030", "background": False}
    assert page.get("/api/photos/0/marks").json()["marks"][0]["name"] == "tiger"
    refused = page.post("/api/classes", json={"op": "rename", "name": "cat", "to": "x"})
    assert refused.status_code == 400 and "known are" in refused.json()["message"]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/api/photos/9/marks", {"base": 0}, 404),
        ("/api/photos/-1/marks", {"base": 0}, 404),
        ("/api/photos/x/marks", {"base": 0}, 400),
        ("/api/photos/0/marks", {}, 400),
        ("/api/photos/0/marks", {"base": "0"}, 400),
        ("/api/photos/0/marks", {"base": 0, "add": {}}, 400),
        ("/api/photos/0/marks", {"base": 0, "add": [5]}, 400),
        ("/api/photos/0/marks", {"base": 0, "remove": [5]}, 400),
        ("/api/photos/0/marks", {"base": 0, "more": 1}, 400),
        ("/api/photos/0/marks", [], 400),
        ("/api/photos/0/answer", {"name": "cat", "value": "most"}, 400),
        ("/api/photos/0/checked", {"value": 1}, 400),
        ("/api/photos/0/sharpen", {"how": "crf"}, 404),
        ("/api/classes", {"op": "burn", "name": "cat"}, 400),
        ("/api/nonsense", {}, 405),
    ],
)
def test_what_is_wrong_is_said_in_one_line(page, path, body, code):
    answer = page.post(path, json=body)
    assert answer.status_code in (code, 404 if code == 405 else code)
    message = answer.json()["message"]
    assert message and "\n" not in message and "Traceback" not in message


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b'{"base": NaN}', b"[" * 100_000, b"\xff\xfe", b'{"base": 1e999}'])
def test_what_is_no_json_is_refused(page, text):
    answer = page.post("/api/photos/0/marks", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["message"]


def test_images_are_upright_small_and_bare_of_metadata(tmp_path):
    folder = write_photos(tmp_path / "photos", 1)
    exif = Image.Exif()
    exif[274], exif[270], exif[34853] = 6, "a secret place", {1: "N"}
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, :50] = (255, 0, 0)
    Image.fromarray(pixels).save(folder / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(pixels.repeat(8, 0).repeat(8, 1)).save(folder / "turned_large.jpg", exif=exif, quality=95)
    with opened(folder) as project, served(project) as page:
        for i in (1, 2):
            answer = page.get(f"/api/photos/{i}/image?side=100")
            assert answer.headers["content-type"] == "image/jpeg" and b"secret" not in answer.content
            image = Image.open(io.BytesIO(answer.content))
            assert image.size == (40, 100) and not image.getexif()
            red, black = image.getpixel((20, 10)), image.getpixel((20, 90))
            assert red[0] > 200 and max(black) < 60
        assert page.get("/api/project").json()["photos"][1]["height"] == 100


def test_a_photo_of_24_million_pixels(tmp_path):
    (tmp_path / "photos").mkdir()
    small = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(small).resize((6000, 4000)).save(tmp_path / "photos" / "large.jpg")
    with opened(tmp_path / "photos", "cat") as project, served(project) as page:
        assert project.size(0) == (4000, 6000)
        assert Image.open(io.BytesIO(page.get("/api/photos/0/thumb").content)).size == (192, 128)
        assert Image.open(io.BytesIO(page.get("/api/photos/0/image").content)).size == (2048, 1365)
        assert draw(page, 0, mark("a", "scribble", xy=((5999, 3999), (10, 3000)), width=30)).json() == {"version": 1}
        assert draw(page, 0, mark("b", "polygon", xy=((0, 0), (6000, 0), (3000, 3500)))).json() == {"version": 2}
        start = time.process_time()
        (outlines, ink) = project.photo(0).labels
        assert time.process_time() - start < 2
        assert ink.marks[0].xy[-1] == (10, 3000)


def test_a_hundred_fast_strokes_from_two_windows_are_all_there(folder):
    """Each window sends the next stroke when the last one is answered, and half of them twice."""
    with opened(folder, "cat", "dog") as project, served(project) as page:

        def window(which: str) -> None:
            for k in range(50):
                for _ in range(1 + k % 2):
                    stroke = mark(f"{which}{k}", "scribble", xy=((k, 1), (k, 40)), seconds=0.1)
                    assert draw(page, 0, stroke, base=k).status_code == 200

        threads = [threading.Thread(target=window, args=(w,)) for w in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        marks = page.get("/api/photos/0/marks").json()["marks"]
        assert sorted(m["id"] for m in marks) == sorted(f"{w}{k}" for w in "ab" for k in range(50))
        assert sorted(m["order"] for m in marks) == list(range(1, 101))
        lines = (folder / ".page" / "journal.jsonl").read_text().splitlines()
        assert len([x for x in lines if '"photo"' in x]) == 100
    strokes = [m for x in l2m.open(folder).photos[0].labels for m in x.marks]
    assert len(strokes) == 100


def test_names_from_files_go_into_no_html(tmp_path):
    """A class and a photo named like a script reach the browser as JSON alone, which no browser shows as HTML."""
    folder = write_photos(tmp_path / "photos", 1)
    evil = "<img src=x onerror=alert(1)>"
    (folder / "p0.png").rename(folder / "<script>alert(2)<_script>.png")
    with opened(folder, evil) as project, served(project) as page:
        draw(page, 0, mark("a", name=evil))
        for path in ("/api/project", "/api/photos/0/marks", "/api/next"):
            assert page.get(path).headers["content-type"] == "application/json"
        assert page.get("/api/project").json()["classes"][1]["name"] == evil
        assert evil not in page.get("/").text and "alert" not in page.get("/").text
        refused = draw(page, 0, mark("b", name="<b>x</b>"))
        assert refused.headers["content-type"] == "application/json" and refused.status_code == 400


def test_damaged_and_hostile_photos_do_not_stop_the_others(tmp_path, monkeypatch):
    folder = write_photos(tmp_path / "photos", 2)
    whole = (folder / "p0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    bomb = bytearray(whole)
    bomb[16:24] = (50_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(bytes(bomb))
    with opened(folder) as project, served(project) as page:
        told = page.get("/api/project").json()
        names = [p["name"] for p in told["photos"]]
        assert set(names) >= {"p0", "p1"} and not {"empty", "bomb"} & set(names)
        assert any("bomb" in note and "limit" in note for note in told["notes"])
        if "cut" in names:
            answer = page.get(f"/api/photos/{names.index('cut')}/image")
            assert answer.status_code == 400 and "damaged" in answer.json()["message"]
        assert page.get(f"/api/photos/{names.index('p1')}/image").status_code == 200


def test_events_reach_every_window(folder):
    import asyncio

    from labels2masks.page.events import Events

    async def listen():
        events = Events()
        streams = [events.stream() for _ in range(2)]
        for stream in streams:
            assert (await anext(stream)).startswith(b"retry")
        events.tell("photo", {"i": 1, "version": 2})
        for stream in streams:
            name, data = (await anext(stream)).decode().strip().split("\n")
            assert name == "event: photo" and json.loads(data.removeprefix("data: ")) == {"i": 1, "version": 2}
        events.close()
        for stream in streams:
            assert [text async for text in stream] == []

    asyncio.run(listen())


class Instant:
    """An engine that has a mask of one photo."""

    model = {"version": 3, "photos": 1, "message": ""}
    features = {"done": 1, "total": 3}

    def __init__(self):
        self.heard = []

    def changed(self, i):
        self.heard.append(i)

    def classes_changed(self):
        self.heard.append("classes")

    def mask(self, i, longest):
        return (np.full((2, 3), 1, np.uint8), np.full((2, 3), 200, np.uint8)) if i == 0 else None

    def sharpened(self, i, how):
        return self.mask(i, 512)

    def confidence(self, i):
        return 0.5 if i == 0 else None

    def next(self, after):
        return 2


def test_masks_come_as_planes_and_the_engine_hears_of_every_change(folder):
    engine = Instant()
    with opened(folder, "cat") as project, served(project, engine) as page:
        answer = page.get("/api/photos/0/mask")
        assert answer.headers["X-Shape"] == "2 3" and answer.headers["X-Model"] == "3"
        assert answer.content == b"\x01" * 6 + b"\xc8" * 6
        assert page.get("/api/photos/1/mask").status_code == 404
        assert page.post("/api/photos/0/sharpen", json={"how": "crf"}).content == answer.content
        draw(page, 1, mark("a"))
        page.post("/api/photos/2/checked", json={"value": True})
        page.post("/api/classes", json={"op": "add", "name": "dog"})
        assert engine.heard == [1, 2, "classes"]
        told = page.get("/api/project").json()
        assert told["photos"][0]["state"] == "suggested" and told["photos"][0]["confidence"] == 0.5
        assert told["model"] == {"version": 3, "photos": 1, "message": ""} and told["features"]["done"] == 1
        assert page.get("/api/next").json() == {"i": 2}


def test_exports_are_sent_to_be_saved_and_lie_in_their_folder(folder, tmp_path):
    with opened(folder) as project:
        (folder / "exports" / "a").mkdir(parents=True)
        (folder / "exports" / "a" / "report.html").write_text("<script>alert(1)</script>")
        (tmp_path / "secret.txt").write_text("secret")
        (folder / "exports" / "link.txt").symlink_to(tmp_path / "secret.txt")
        with served(project, jobs=Jobs()) as page:
            assert "a/report.html" in page.get("/api/exports").json()
            answer = page.get("/api/exports/a/report.html")
            assert answer.headers["content-disposition"].startswith("attachment")
            assert answer.headers["content-type"] == "application/octet-stream"
            for path in ("link.txt", "..%2f..%2fsecret.txt", "../../secret.txt", "%2fetc%2fpasswd", "no", "a", "a%00b"):
                assert page.get(f"/api/exports/{path}").status_code == 404, path


class Jobs:
    def recipes(self):
        return ["auto"]

    def formats(self):
        return {}

    def jobs(self):
        return []

    def train(self, minutes, recipe):
        return f"{minutes:g} {recipe}"

    def stop(self, job):
        raise KeyError(job)

    def run_photo(self, name, i):
        return [np.full((1, 2), k, np.uint8) for k in (1, 9, 2)]


def test_work_is_asked_for_within_limits(folder):
    with opened(folder) as project, served(project, jobs=Jobs()) as page:
        assert page.post("/api/train", json={"minutes": 5, "recipe": "auto"}).json() == {"job": "5 auto"}
        for minutes in (0, -1, 1e9, "5"):
            assert page.post("/api/train", json={"minutes": minutes, "recipe": "auto"}).status_code == 400
        assert page.post("/api/jobs/zz/stop", json={}).status_code == 404
        answer = page.get("/api/runs/one/photos/2")
        assert answer.headers["X-Planes"] == "3" and answer.content == b"\x01\x01\x09\x09\x02\x02"
        assert page.get("/api/runs/one/photos/3").status_code == 404
        assert page.post("/api/audit", json={"run": "one", "clicks": 1.5}).status_code == 400
        assert page.get("/api/project").json()["can"]["train"] is True


def test_colours_that_are_told_apart():
    made = told_apart(40)
    assert len(set(made)) == 40 and made[0] == (0, 0, 0)
    assert hex_colour(made[1]) == "#e69f00"


def test_the_token_is_in_nothing_that_is_answered(page):
    for path in ("/", "/api/project", "/api/photos/0/marks", "/static/main.js"):
        assert TOKEN not in page.get(path).text


def test_the_decoder_is_shared_and_still_alive():
    assert DECODER.sizes([]) == []
