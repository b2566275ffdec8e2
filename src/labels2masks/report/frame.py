"""What every page shares: its head, its parts under a list of links, and the promise to ask for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from .markup import Content, Markup, element
from .svg import SHEET

STYLE = Path(__file__).with_name("page.css")


def frame(title: str, header: Markup, parts: Sequence[tuple[str, str, Content]], version: str, script: str = "") -> str:
    """The whole HTML file. parts: (anchor, title, body), left out where there is no body. version: of labels2masks.
    script: what runs at the end of the page; it can reach nothing outside."""
    kept = [(anchor, name, body) for anchor, name, body in parts if body]
    style = SHEET.read_text(encoding="utf-8") + STYLE.read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(style, script)),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        header,
        element("nav", *(element("a", name, href=f"#{anchor}") for anchor, name, _ in kept)),
        element("main", *(element("section", element("h2", name), part, id=anchor) for anchor, name, part in kept)),
        element("footer", f"labels2masks {version}. This page asks nothing of any network."),
        element("script", Markup(script)) if script else None,
    )
    return f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def policy(style: str, script: str = "") -> str:
    """Nothing is loaded or sent: pictures are inside; one style sheet and one script are known by their hash."""
    run = f"script-src '{_hashed(script)}'; " if script else ""
    return f"default-src 'none'; img-src data:; style-src '{_hashed(style)}'; {run}base-uri 'none'; form-action 'none'"


def _hashed(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
