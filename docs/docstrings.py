"""Our docstrings as reStructuredText. They are plain text with three habits, and nothing else in them is markup:

name: what it is          a definition; lines that belong to it are indented
`code`                    code
an indented block         as it stands
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

_ITEM = re.compile(r"([A-Za-z_]\w*(?:(?:, | or )[a-z_]\w*)*): (.*)")


def as_rst(lines: Iterable[str]) -> list[str]:
    made: list[str] = []
    for filled, block in groupby(lines, key=lambda line: bool(line.strip())):
        if filled:
            made += [*_block(list(block)), ""]
    return made


def _block(lines: Sequence[str]) -> list[str]:
    if all(line.startswith("    ") for line in lines):
        return ["::", "", *lines]
    parts: list[tuple[str, list[str]]] = []  # (names or "", lines): code may go over the end of a line
    for line in lines:
        item = _ITEM.fullmatch(line)
        if item and not item[1][0].isupper():
            parts.append((item[1], [item[2]]))
        elif not parts or (parts[-1][0] and not line.startswith("    ")):
            parts.append(("", [line.strip()]))
        else:
            parts[-1][1].append(line.strip())
    made: list[str] = []
    for names, texts in parts:
        text = _inline(" ".join(texts))
        term = ", ".join(f"``{name}``" for name in re.split(", | or ", names))
        made += [term, f"    {text}", ""] if names else [text, ""]
    return made[:-1]


def _inline(text: str) -> str:
    """Code stays code; every other character means itself."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(f"`{part}`" if k % 2 else re.sub(r"([\\*_|`])", r"\\\1", part) for k, part in enumerate(parts))
