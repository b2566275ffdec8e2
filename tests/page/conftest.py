"""A real Chromium and a real server for the tests of the page, on a small project without research data or weights.

Starting either takes seconds, so all tests share one of each, and every test has a photo of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

TOKEN = "a-token-for-the-tests"
WIDTH, HEIGHT = 96, 64
LARGE = (6000, 4000)
MARKUP = "<b onclick=alert(1)>x"
PATIENCE, START = 90.0, 240.0
"""Seconds; the machines that test may be busy, and the encoder starts in a process that gives way to all others."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if chromium is None or sync_playwright is None:
        what = "no chromium on the path" if chromium is None else "playwright is not installed"
        if os.environ.get("L2M_REQUIRE_BROWSER") == "1":
            pytest.fail(what)
        pytest.skip(f"{what}: the page is not tested in a browser")
    with sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


class Server:
    """`l2m page` in a process of its own, which can be killed and started again at its port."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or _free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.entrance = f"{self.address}/?token={TOKEN}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "labels2masks", "page", str(self.folder), "--port", str(self.port)]
        command += ["--token", TOKEN, "--no-browser", "--classes", "disc,box,sky"]
        command += ["--encoder", "mobilenetv3_small_050", "--weights", "none"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.get("/api/project")
                return
            except OSError:
                time.sleep(0.1)
        self.process.kill()
        raise AssertionError(f"the page did not start: {self.process.communicate()[0]}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()

    def get(self, path: str) -> Any:
        asked = urllib.request.Request(self.address + path, headers={"X-Token": TOKEN})
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return json.load(answer)

    def photo(self, name: str) -> int:
        return next(p["i"] for p in self.get("/api/project")["photos"] if p["name"] == name)

    def until(self, holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """What `holds` returns, once it is true."""
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)
        return found


class Desk:
    """A tab with the page and one photo, driven in the photo's pixels."""

    def __init__(self, context: Any, server: Server, i: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        self.server, self.i, self.size = server, i, size
        self.name = server.get("/api/project")["photos"][i]["name"]
        self.page = context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.failures: list[str] = []
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))
        self.page.on("console", self._heard)
        self.page.goto(server.entrance)
        self.page.goto(f"{server.address}/#label/{i}")
        self.canvas = self.page.locator(".label .middle canvas")
        self.ready()

    def _heard(self, message: Any) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            self.failures.append(message.text)

    def ready(self) -> None:
        self.page.locator(f".label .middle canvas[data-ready='{self.i}'][data-photo='{self.i}']").wait_for()

    def marks(self) -> list[dict[str, Any]]:
        """What the server has of this photo."""
        return self.server.get(f"/api/photos/{self.i}/marks")["marks"]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the photo is on the screen while the whole photo is shown."""
        box = self.canvas.bounding_box()
        width, height = self.size
        scale = min((box["width"] - 32) / width, (box["height"] - 32) / height)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return left + x * scale, top + y * scale

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def click(self, *places: tuple[float, float]) -> None:
        for place in places:
            self.page.mouse.click(*self.at(*place))

    def drag(self, *places: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=2)
        self.page.mouse.up()

    def shows(self, marks: int) -> None:
        """Wait until the page has so many marks on this photo."""
        self.page.locator(f".label .middle canvas[data-marks='{marks}']").wait_for()

    def saved(self) -> None:
        self.page.locator("#saving[data-state='saved']").wait_for()

    def model(self) -> int:
        """The model whose mask is on the screen; 0 before there is one."""
        return int(self.canvas.get_attribute("data-mask") or 0)

    def newer_mask(self, than: int) -> int:
        return self.server.until(lambda: self.model() > than and self.model(), START)


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """Photos of a disc and a box on a ground, one named like markup, one of 24 million pixels."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(5)
    for name in (MARKUP, *(f"photo{i:02d}" for i in range(16))):
        image = Image.fromarray(np.clip(rng.normal(120, 14, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        draw.ellipse((10, 16, 40, 46), fill=(200, 60, 50))
        draw.rectangle((58, 12, 86, 40), fill=(50, 70, 200))
        image.save(folder / f"{name}.png")
    large = Image.new("RGB", LARGE, (120, 125, 118))
    ImageDraw.Draw(large).ellipse((1000, 1000, 3000, 3000), fill=(200, 60, 50))
    large.save(folder / "large.jpg", quality=80)
    made = Server(folder)
    yield made
    made.stop()


@pytest.fixture
def context(browser) -> Iterator[Any]:
    made = browser.new_context(viewport={"width": 1280, "height": 800})
    yield made
    made.close()


@pytest.fixture
def opened(context, server) -> Iterator[Callable[..., Desk]]:
    """opened(name) is a tab on the photo of that name; none may have failed at the end."""
    made: list[Desk] = []

    def tab(name: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Desk:
        made.append(Desk(context, server, server.photo(name), size))
        return made[-1]

    yield tab
    assert not [failure for desk in made for failure in desk.failures]


@pytest.fixture
def desk(opened, server) -> Desk:
    """A tab on a photo that nobody has drawn on."""
    photos = server.get("/api/project")["photos"]
    return opened(next(p["name"] for p in photos if p["version"] == 0 and p["name"].startswith("photo")))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
