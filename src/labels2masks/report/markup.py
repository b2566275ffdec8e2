"""HTML and SVG as nested calls. Text is escaped unless it is markup already: no name of a file or class breaks out.

element("p", "a < b, ", element("b", name))      -> <p>a &lt; b, <b>...</b></p>
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_NEVER_CLOSED = frozenset({"meta", "img", "br"})
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, marks that turn the direction of what follows, and halves of characters: a file name may
hold all of them, a page none."""


class Markup(str):
    """Text that stands in a page as it is."""


Content = str | int | float | None | Iterable["Content"]


def escaped(text: str) -> Markup:
    """The text for a page or an attribute in double quotes; what can not be shown becomes U+FFFD."""
    return Markup(html.escape(_UNPRINTABLE.sub("\ufffd", text), quote=True))


def joined(*content: Content) -> Markup:
    """The parts one after the other; None is nothing, numbers are short."""
    parts = []
    for part in content:
        if isinstance(part, Markup):
            parts.append(str(part))
        elif isinstance(part, str):
            parts.append(str(escaped(part)))
        elif isinstance(part, int | float):
            parts.append(short(part))
        elif part is not None:
            parts.append(joined(*part))
    return Markup("".join(parts))


def element(name: str, /, *content: Content, **attributes: str | int | float | None) -> Markup:
    """<name attribute="value">content</name>. In the names of attributes `_` is `-`, and a last one is dropped
    (`class_`); attributes that are None are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{joined(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _NEVER_CLOSED:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(*content)}</{name}>")


def short(value: float) -> str:
    """A number with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
