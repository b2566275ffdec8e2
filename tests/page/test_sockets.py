"""The page as it is started: over real sockets, killed in mid-session, started twice, opened to others."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from page.photos_folder import mark, write_photos

import labels2masks as l2m
from labels2masks.cli import main
from labels2masks.labels import Scribbles

WITHOUT_ENGINE = """
import sys
from labels2masks.page import served
served._engine = served._jobs = lambda *_: None
from labels2masks.cli import main
sys.exit(main(["page", *sys.argv[1:], "--no-browser"]))
"""


def started(*words: str | Path) -> subprocess.Popen[str]:
    words = tuple(map(str, words))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", WITHOUT_ENGINE, *words], **pipes)


@contextmanager
def running(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    process = started(*words)
    try:
        for line in process.stdout:
            if found := re.match(r"open (http://\S+)/\?token=(\S+)", line):
                break
        else:
            pytest.fail(process.stderr.read())
        origin, token = found.groups()
        with httpx.Client(base_url=origin, headers={"X-Token": token, "Origin": origin}, timeout=30) as client:
            yield process, client
    finally:
        process.kill()
        process.communicate()


def draw(client: httpx.Client, mark_id: str, base: int = 0) -> httpx.Response:
    stroke = mark(mark_id, "scribble", xy=((1, 1), (30, 30)), seconds=1.0)
    return client.post("/api/photos/0/marks", json={"base": base, "add": [stroke], "remove": []})


def ids(client: httpx.Client) -> set[str]:
    return {m["id"] for m in client.get("/api/photos/0/marks").json()["marks"]}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = write_photos(tmp_path_factory.mktemp("page") / "photos")
    with running(folder, "--classes", "cat") as (process, client):
        yield process, client


def port_of(client: httpx.Client) -> int:
    return client.base_url.port


@pytest.mark.skipif(sys.platform != "linux", reason="other systems give a loopback one address")
def test_it_listens_on_one_address_of_this_machine(page):
    _, client = page
    with socket.create_connection(("127.0.0.1", port_of(client)), 5):
        pass
    for other in ("127.0.0.2", socket.gethostbyname(socket.gethostname())):
        if other != "127.0.0.1":
            with pytest.raises(OSError):
                socket.create_connection((other, port_of(client)), 2)


def test_over_a_socket_strangers_get_nothing(page):
    _, client = page
    origin = str(client.base_url)
    assert httpx.get(origin + "/api/project").status_code == 403
    assert httpx.get(origin + "/?token=guess").status_code == 403
    assert client.get("/api/project", headers={"Host": "evil.example"}).status_code == 403
    assert (
        draw(
            httpx.Client(base_url=origin, headers={**client.headers, "Origin": "http://evil.example"}), "x"
        ).status_code
        == 403
    )
    assert client.get("/api/project").status_code == 200
    assert "server" not in client.get("/").headers


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_raw_nonsense_is_refused_and_the_page_goes_on(page, raw):
    _, client = page
    with socket.create_connection(("127.0.0.1", port_of(client)), 5) as line:
        line.sendall(raw)
        line.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: line.recv(1 << 16), b""))
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"403", b"404", b"413")
    assert b"root:" not in answer
    assert client.get("/api/project").status_code == 200


def test_windows_hear_of_each_others_strokes_over_a_socket(page):
    _, client = page
    with client.stream("GET", "/api/events") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        assert draw(client, "heard").status_code == 200
        heard = [next(lines) for _ in range(3)]
    assert "event: photo" in heard
    assert any('"state": "labelled"' in line for line in heard)


def test_a_second_process_is_refused(page):
    _, client = page
    second = started(client.get("/api/project").json()["folder"])
    _, error = second.communicate(timeout=60)
    assert second.returncode == 2 and "open in another" in error and error.count("\n") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_killed_in_mid_session_every_answered_stroke_is_there_again(tmp_path):
    """kill -9 while strokes keep coming as fast as they are answered."""
    folder = write_photos(tmp_path / "photos", 2)
    answered: list[str] = []
    with running(folder, "--classes", "cat") as (process, client):
        enough = threading.Event()

        def strokes_on() -> None:
            with suppress(httpx.HTTPError):
                for k in range(10_000):
                    if draw(client, f"s{k}").status_code == 200:
                        answered.append(f"s{k}")
                    if len(answered) == 37:
                        enough.set()

        first_token = client.headers["x-token"]
        hand = threading.Thread(target=strokes_on)
        hand.start()
        assert enough.wait(30)
        os.kill(process.pid, signal.SIGKILL)
        hand.join()
    with running(folder) as (process, client):
        assert client.headers["x-token"] != first_token and len(first_token) >= 32
        there = ids(client)
        assert set(answered) <= there and len(there) <= len(answered) + 1
        assert draw(client, "after").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    (label,) = l2m.open(folder).photos[0].labels
    assert isinstance(label, Scribbles) and len(label.marks) == len(there) + 1
    assert label.seconds == len(label.marks)


def test_stopped_from_the_keyboard_it_ends_at_once_with_a_window_open(tmp_path):
    with (
        running(write_photos(tmp_path / "photos", 1), "--classes", "cat") as (process, client),
        client.stream("GET", "/api/events") as stream,
    ):
        next(stream.iter_lines())
        draw(httpx.Client(base_url=client.base_url, headers=client.headers), "a")
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0 and time.monotonic() - start < 10
        assert process.stderr.read() == ""
    assert l2m.open(tmp_path / "photos").photos[0].labels


@pytest.mark.parametrize("more", [(), ("--token", "short")])
def test_for_others_it_wants_a_token_that_was_chosen(tmp_path, capsys, more):
    folder = write_photos(tmp_path / "photos", 1)
    assert main(["page", str(folder), "--host", "0.0.0.0", "--no-browser", *more]) == 2
    assert "--token" in capsys.readouterr().err
    assert not (folder / ".page").exists()


def test_a_port_that_is_taken_is_said_before_anything_is_opened(tmp_path, capsys):
    folder = write_photos(tmp_path / "photos", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["page", str(folder), "--no-browser", "--port", str(taken.getsockname()[1])]) == 2
    assert "--port" in capsys.readouterr().err
    assert not (folder / ".page").exists()


def test_the_verb_is_a_function_whatever_was_imported_first():
    import labels2masks.page.guard  # noqa: F401

    with pytest.raises(l2m.UsageError, match="--token"):
        l2m.page("nowhere", host="0.0.0.0")


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "labels2masks.page.served", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(l2m.UsageError, match=r"uvicorn: pip install 'labels2masks\[page\]'"):
        l2m.page(tmp_path)


def test_what_serves_loads_no_torch_before_the_first_features():
    code = "import labels2masks.page.served, labels2masks.page.project, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
