"""The page's pure modules: marks and undo, views, tools, colours, the outbox. The tests themselves are modules.mjs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUN = """async (address) => {
    const { tests } = await import(address);
    const found = {};
    for (const [name, test] of Object.entries(tests)) {
        try { await test(); found[name] = null; } catch (error) { found[name] = String(error.stack ?? error); }
    }
    return found;
}"""


def in_node(node: str) -> dict[str, str | None]:
    script = f"console.log(JSON.stringify(await ({RUN})({json.dumps((HERE / 'modules.mjs').as_uri())})))"
    done = subprocess.run([node, "--input-type=module", "-e", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_modules(request):
    node = shutil.which("node")
    found = in_node(node) if node else request.getfixturevalue("modules_page").evaluate(RUN, "/tests/page/modules.mjs")
    failed = {name: why for name, why in found.items() if why}
    assert len(found) >= 15 and not failed, "\n\n".join(f"{name}\n{why}" for name, why in failed.items())


@pytest.fixture
def modules_page(browser):
    """Chromium with the repository's files at an address of its own, answered without a server."""
    page = browser.new_page()
    page.route(
        "http://modules.test/**",
        lambda route: (
            route.fulfill(
                path=ROOT / route.request.url.removeprefix("http://modules.test/"), content_type="text/javascript"
            )
            if not route.request.url.endswith("/")
            else route.fulfill(body="<!doctype html>", content_type="text/html")
        ),
    )
    page.goto("http://modules.test/")
    yield page
    page.close()
