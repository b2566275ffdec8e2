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
    made: list[str] = []
    in_item = False
    for line in lines:
        item = _ITEM.fullmatch(line)
        if item and not item[1][0].isupper():
            made += ["", ", ".join(f"``{name}``" for name in re.split(", | or ", item[1])), f"    {_inline(item[2])}"]
            in_item = True
        elif in_item and line.startswith("    "):
            made.append(f"    {_inline(line.strip())}")
        else:
            made += [""] * in_item + [_inline(line.strip())]
            in_item = False
    return made


def _inline(text: str) -> str:
    """Code stays code; every other character means itself."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(f"`{part}`" if k % 2 else re.sub(r"([\\*_|`])", r"\\\1", part) for k, part in enumerate(parts))
