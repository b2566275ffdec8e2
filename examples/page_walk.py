"""A walk through the page by a robot, every step timed: open, label eight photos, train, audit, export, predict.

    python examples/page_walk.py walk/                          prints the seconds of each step
    python examples/page_walk.py walk/ --pictures docs/page     and keeps pictures of the screens

The photos are the embedded sample's. What the robot draws with mouse and keys are the sample's own labels of eight of
them: scribbles, clicks, boxes. It answers the audit from the truth that the sample was drawn with, and the model it
takes away is scored on photos that were no part of the project. Needs `labels2masks[page,onnx,weights]`, playwright
and a Chromium on the path.

Legend: H, W = pixels of a photo.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import labels2masks as l2m
from labels2masks.formats.dataset import Photo
from labels2masks.formats.image import image_size
from labels2masks.labels import Boxes, Points, Scribbles
from labels2masks.sample import CLASSES, draw_photo, make_sample

PHOTOS, KEPT_ASIDE = 40, 20
LABELLED = (2, 7, 12, 17, 22, 3, 8, 11)
"""Photos of the sample that have scribbles, and the last three clicks and boxes."""
TOOLS = {Scribbles: "s", Points: "p", Boxes: "b"}
PATIENCE = 900_000
"""Milliseconds that a step may take."""


class Walk:
    """The page, and the seconds of each step so far."""

    def __init__(self, page: Page, address: str, pictures: Path | None) -> None:
        self.page, self.address, self.pictures = page, address, pictures
        self.seconds: dict[str, float] = {}
        page.set_default_timeout(PATIENCE)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 1)
        print(f"{self.seconds[name]:8.1f} s  {name}", flush=True)

    def picture(self, name: str) -> None:
        if self.pictures is None:
            return
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.page.mouse.move(640, 3)
        self.page.wait_for_timeout(400)
        taken = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        taken.save(self.pictures / f"{name}.webp", quality=82, method=6)

    def screen(self, name: str) -> None:
        self.page.evaluate("hash => { location.hash = hash; }", f"#{name}")
        self.page.locator(f"#screens a[href='#{name.partition('/')[0]}'][aria-current]").wait_for()

    def photo(self, i: int) -> None:
        self.screen(f"label/{i}")
        self.page.locator(f".label .middle canvas[data-ready='{i}'][data-photo='{i}']").wait_for()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def saved(self) -> None:
        self.page.locator("#saving[data-state='saved']").wait_for()

    def draw(self, photo: Photo) -> None:
        """The labels of a photo, drawn on the same photo that is open; the whole of it is shown."""
        height, width = image_size(photo.image)
        box = self.page.locator(".label .middle canvas").bounding_box()
        assert box is not None
        scale = min((box["width"] - 32) / width, (box["height"] - 32) / height)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2

        def along(places: Sequence[tuple[float, float]]) -> None:
            for k, (x, y) in enumerate(places):
                self.page.mouse.move(left + x * scale, top + y * scale, steps=8 if k else 1)
                if k == 0:
                    self.page.mouse.down()
            self.page.mouse.up()

        for label in photo.labels:
            assert isinstance(label, (Scribbles, Points, Boxes))
            self.press(TOOLS[type(label)])
            for mark in label.marks:
                self.press(str(CLASSES.index(mark.name) + 1))
                if isinstance(label, Scribbles):
                    along(mark.xy)
                elif isinstance(label, Points):
                    along([(mark.x, mark.y)])
                else:
                    x0, y0, x1, y1 = mark.bounds
                    along([(x0, y0), (x1, y1)])
        for _ in CLASSES.foreground:  # "have you marked every ...?"
            self.press("y")


def walk(folder: Path, pictures: Path | None, recipe: str, minutes: float, answers: int) -> dict[str, Any]:
    """Returns {"seconds": step -> seconds, "photos_labelled", "audit": {...}, "miou", "aside"}."""
    data = l2m.open(make_sample(folder / "sample", train=PHOTOS, val=KEPT_ASIDE))
    photos = folder / "photos"
    photos.mkdir()
    for photo in data.split("train"):
        shutil.copy(photo.image, photos)
    with served(photos) as address, sync_playwright() as driver:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        with driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
            steps = Walk(page, address, pictures)
            labels(steps, data.split("train").photos)
            trained(steps, recipe, minutes)
            audit = audited(steps, answers)
            model = exported(steps, folder)
    aside = data.split("val")
    with steps.step(f"predict {len(aside)} photos it never saw with the ONNX file"):
        l2m.predict(model, [photo.image for photo in aside], out=folder / "masks")
    scores = l2m.evaluate(folder / "masks", data, split="val")
    return {
        "seconds": steps.seconds,
        "photos_labelled": len(LABELLED),
        "photos": PHOTOS,
        "audit": audit,
        "miou": scores["miou"],
        "photos_kept_aside": len(aside),
    }


@contextmanager
def served(photos: Path) -> Iterator[str]:
    """`l2m page` in a process of its own; its address with the token."""
    names = ",".join(CLASSES.foreground)
    command = [sys.executable, "-m", "labels2masks", "page", str(photos), "--no-browser", "--classes", names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(line.split()[1] for line in process.stdout if line.startswith("open "))
        finally:
            process.terminate()


def labels(steps: Walk, photos: Sequence[Photo]) -> None:
    page = steps.page
    with steps.step("open the page"):
        page.goto(steps.address)
        page.locator(".label .middle canvas[data-ready='0'][data-photo='0']").wait_for()
    steps.picture("first")
    with steps.step(f"the encoder reads {len(photos)} photos in the background"):
        page.locator("#features").wait_for(state="hidden")
    with steps.step("the first marks, until every photo has a mask"):
        steps.photo(LABELLED[0])
        steps.draw(photos[LABELLED[0]])
        page.locator(".label .middle canvas[data-mask]").wait_for()
        page.locator(".thumbs .sure[data-known]").nth(len(photos) - 1).wait_for(state="attached")
    with steps.step(f"{len(LABELLED) - 1} photos more"):
        for i in LABELLED[1:]:
            steps.photo(i)
            steps.draw(photos[i])
        steps.saved()
    with steps.step("open a photo, with its mask sharpened"):
        steps.photo(LABELLED[1])
        page.locator("canvas[data-how='crf']").wait_for()
    steps.picture("label")
    steps.press("o")
    page.wait_for_timeout(3000)
    steps.picture("all")
    steps.press("o")
    with steps.step("open the photo it is least sure of"):
        before = page.url
        steps.press("n")
        page.wait_for_url(lambda url: url != before)
    steps.press("?")
    steps.picture("keys")
    steps.press("Escape")


def trained(steps: Walk, recipe: str, minutes: float) -> None:
    page = steps.page
    steps.screen("train")
    with steps.step(f"train by the recipe {recipe}, {minutes:g} minutes"):
        page.get_by_label("Recipe").select_option(recipe)
        page.get_by_label("Minutes").fill(str(minutes))
        page.get_by_role("button", name="Start training").click()
        page.locator(".job[data-state='running']").wait_for()
        page.locator(".job[data-state='done'], .job[data-state='failed']").wait_for()
    assert page.locator(".job").get_attribute("data-state") == "done", page.locator(".job").inner_text()
    steps.picture("train")
    with steps.step("look at the results"):
        steps.screen("results")
        page.locator(".results canvas[data-ready]").wait_for()
    steps.picture("results")


def audited(steps: Walk, answers: int) -> dict[str, Any]:
    """The robot names what the sample was drawn with."""
    page = steps.page
    steps.screen("audit")
    with steps.step("draw the pixels of an audit"):
        page.get_by_label("Pixels to name").fill(str(answers))
        with page.expect_response(lambda r: "/api/audit/next" in r.url and r.ok and "number" in r.text()) as first:
            page.get_by_role("button", name="Draw the pixels").click()
        pixel = first.value.json()
    with steps.step(f"name {answers} pixels"):
        for k in range(answers):
            page.locator(f".audit canvas[data-number='{pixel['number']}']").wait_for()
            if k == answers // 2:
                steps.picture("audit")
            truth_HW = draw_photo(np.random.default_rng((0, pixel["i"]))).ids_HW
            with page.expect_response(lambda r: "/api/audit/next" in r.url) as following:
                steps.press(str(int(truth_HW[pixel["y"], pixel["x"]]) + 1))
            pixel = following.value.json()
            if pixel.get("done"):
                break
    page.wait_for_timeout(500)
    return page.evaluate("async () => (await fetch('/api/audit/estimate')).json()")


def exported(steps: Walk, folder: Path) -> Path:
    page = steps.page
    steps.screen("export")
    with steps.step("export the model to ONNX and download it"):
        page.get_by_role("button", name="Export model").click()
        with page.expect_download() as loaded:
            page.locator(".files a[href*='.onnx']").click()
        model = folder / "model.onnx"
        loaded.value.save_as(model)
    steps.picture("export")
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--pictures", type=Path, help="where pictures of the screens go")
    parser.add_argument("--recipe", default="frozen", help="of the training, as the page offers them")
    parser.add_argument("--minutes", type=float, default=1.0, help="of training")
    parser.add_argument("--answers", type=int, default=100, help="pixels of the audit")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    print(json.dumps(walk(options.folder, options.pictures, options.recipe, options.minutes, options.answers)))


if __name__ == "__main__":
    main()
