"""The page in a real Chromium by keyboard alone; names and contrast of all that is on it; classes; results."""

from __future__ import annotations

import json

import pytest

SCREENS = ("label", "train", "results", "audit", "export")

NAMELESS = """() => [...document.querySelectorAll("button, a[href], input, select, canvas[tabindex], [role=img]")]
    .filter((e) => e.checkVisibility())
    .filter((e) => !(e.getAttribute("aria-label") || e.innerText?.trim() || e.closest("label")?.innerText.trim()))
    .map((e) => e.outerHTML.slice(0, 200))"""

FAINT = """() => {
    const numbers = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
    const light = (rgb) => {
        const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const [r, g, b, a = 1] = numbers(getComputedStyle(e).backgroundColor);
            if (a > 0.8) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const e of document.querySelectorAll("body *")) {
        const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!text || !e.checkVisibility({ opacityProperty: true }) || e.closest(":disabled, option, svg")) continue;
        const [r, g, b] = numbers(getComputedStyle(e).color);
        const [one, two] = [light([r, g, b]), light(ground(e))];
        const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
        if (contrast < 4.5) found.push([e.innerText.slice(0, 40), e.className, contrast.toFixed(2)]);
    }
    return found;
}"""


def test_everything_by_keyboard(desk, server):
    canvas = desk.page.locator(".label .middle canvas")
    desk.press("2", "s", "ArrowLeft", "ArrowLeft", "Space", *["ArrowRight"] * 6, "ArrowDown", "Space")
    desk.shows(1)
    desk.press("3", "b", "Space", *["ArrowRight"] * 5, *["ArrowDown"] * 5, "Space")
    desk.shows(2)
    desk.press("2", "l", "Space", *["ArrowRight"] * 5, "Space", *["ArrowDown"] * 5, "Space", "Enter")
    desk.shows(3)
    desk.press("e", "Space", *["ArrowRight"] * 4, "Space", *["ArrowUp"] * 4, "Space", "ArrowLeft", "ArrowUp", "Space")
    desk.shows(4)
    desk.press("p", "Shift+ArrowUp", "Space", "c", "Space")
    desk.shows(6)
    desk.press("y", "y", "u", "v")
    desk.saved()
    found = server.get(f"/api/photos/{desk.i}/marks")
    assert [m["kind"] for m in found["marks"]] == ["scribble", "box", "polygon", "extreme", "point", "point"]
    assert found["marks"][-1]["name"] == "box" and found["checked"] is True
    assert sorted(v for v in found["answers"].values() if v) == ["all", "all", "some"]

    before = canvas.bounding_box()
    desk.press("+", "+", "Control+ArrowLeft", "f", "m", "k", "m", "i", "i", "]", "[", "Shift+P", "Shift+P")
    desk.press("o")
    assert desk.page.evaluate("document.activeElement.classList.contains('thumb')")
    desk.press("Escape")
    assert canvas.bounding_box() == before
    desk.press("?")
    keys = desk.page.get_by_role("dialog", name="Keys")
    listed = keys.inner_text()
    assert all(
        word in listed for word in ("Scribble", "Undo", "Every one is marked", "least sure", "Move the cross", "Audit")
    )
    desk.press("Escape")
    keys.wait_for(state="detached")
    desk.press("n")
    desk.page.wait_for_url(lambda url: not url.endswith(f"/{desk.i}"))
    for name, key in zip(SCREENS[1:], "TRQE", strict=True):
        desk.press(f"Shift+{key}")
        desk.page.wait_for_url(f"**/#{name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_controls_have_names_and_all_text_is_readable(desk, scheme):
    desk.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    desk.press("2", "p")
    desk.click((25, 30), (20, 30))
    desk.press("y")
    desk.shows(2)
    desk.saved()
    for screen in SCREENS:
        desk.page.goto(f"{desk.server.address}/#{screen}")
        desk.page.locator(f"#screens a[href='#{screen}'][aria-current]").wait_for()
        desk.page.wait_for_timeout(300)
        assert desk.page.evaluate(NAMELESS) == [], screen
        assert desk.page.evaluate(FAINT) == [], screen
    desk.page.goto(f"{desk.server.address}/#label")
    desk.press("?")
    assert desk.page.evaluate(FAINT) == []
    assert desk.page.evaluate("matchMedia('(prefers-reduced-motion: reduce)').matches")
    assert desk.page.evaluate("getComputedStyle(document.querySelector('button')).transitionDuration") == "0s"


def test_classes_are_added_renamed_recoloured_and_merged_in_mid_project(desk, server):
    def names():
        return [c["name"] for c in server.get("/api/project")["classes"]]

    before = names()
    desk.press("a")
    desk.page.get_by_label("Name").fill("dot")
    desk.press("Enter")
    desk.page.get_by_role("button", name="Edit dot").wait_for()
    assert names() == [*before, "dot"]
    desk.press("p")
    desk.click((25, 30))  # the class that was added is in hand
    desk.shows(1)
    desk.press("Shift+A")
    desk.page.get_by_label("Name").fill("spot")
    desk.page.get_by_label("Colour").fill("#00aa55")
    desk.page.get_by_role("button", name="Save").click()
    desk.page.get_by_role("button", name="Edit spot").wait_for()
    desk.page.locator(".marks li").get_by_text("spot: point").wait_for()
    assert {"name": "spot", "colour": "#00aa55", "background": False} in server.get("/api/project")["classes"]
    desk.press("Shift+A")
    desk.page.get_by_label("Name").fill(before[1])
    desk.press("Enter")  # there is one already
    assert desk.page.get_by_role("alert").inner_text()
    desk.page.get_by_label("Name").fill("spot")
    desk.page.get_by_label("Merge into").select_option(before[1])
    desk.page.get_by_role("button", name="Save").click()
    desk.page.locator(".marks li").get_by_text(f"{before[1]}: point").wait_for()
    assert names() == before and desk.marks()[0]["name"] == before[1]


def test_results_show_truth_prediction_and_mistakes_under_the_slider(desk):
    """The screen alone: what a run says is made up here, half of the photo right and half of it wrong."""
    height, width, name = 32, 48, "made up/1"
    halves = bytes(([1] * (width // 2) + [2] * (width // 2)) * height)
    planes = halves + bytes([200]) * len(halves) + bytes([1]) * len(halves)
    headers = {"X-Shape": f"{height} {width}", "X-Model": "1", "X-Planes": "3"}
    page = desk.page

    def answered(route):
        path = route.request.url.partition("/api/runs")[2]
        if not path:
            route.fulfill(body=json.dumps([{"name": name, "miou": 0.5, "protocol": "made up", "minutes": 1}]))
        elif path.endswith("/photos") or "?" in path:
            i = desk.i if "class=" not in path else desk.i + 1
            route.fulfill(body=json.dumps([{"i": i, "score": 0.5, "confidence": 0.7}]))
        else:
            route.fulfill(body=planes, headers=headers, content_type="application/octet-stream")

    page.route("**/api/runs**", answered)
    page.goto(f"{desk.server.address}/#results")
    canvas = page.locator(f".results canvas[data-ready='{desk.i}'][data-photo='{desk.i}']")
    canvas.wait_for()
    assert "IoU 50" in page.locator(".worst li").inner_text()
    truth, prediction = page.get_by_role("button", name="Truth"), page.get_by_role("button", name="Prediction")
    assert truth.get_attribute("aria-pressed") == prediction.get_attribute("aria-pressed") == "true"
    pictures = {canvas.screenshot()}
    for press in (["4"], ["5"], ["3", "1"], ["ArrowLeft"] * 3):
        desk.press(*press)
        pictures.add(canvas.screenshot())
    assert len(pictures) == 5
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 60)
    assert float(page.get_by_label("Where the left side ends").input_value()) == pytest.approx(0.5, abs=0.01)
    page.get_by_label("Class").select_option("disc")
    page.locator(f".results canvas[data-ready='{desk.i + 1}']").wait_for()
    desk.press("Enter")
    page.wait_for_url(f"**/#label/{desk.i + 1}")
