"""What a person types, in the shapes that the parser and the Python verbs take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import labels2masks as l2m

from ..errors import UsageError

TWO_WORDS = ("crf tune",)
"""Verbs of two words; the parser knows them as one."""


def as_parsed(words: list[str]) -> list[str]:
    """The words as the parser can take them: `crf tune` as one, and `--levels 0 4095` as `--levels 0,4095`."""
    if " ".join(words[:2]) in TWO_WORDS:
        words = [" ".join(words[:2]), *words[2:]]
    if "--levels" in words[:-2]:
        at = words.index("--levels")
        low, high = words[at + 1 : at + 3]
        if _number(low) is not None and _number(high) is not None:
            return [*words[: at + 1], f"{low},{high}", *words[at + 3 :]]
    return words


def black_and_white(text: str | None) -> Any:
    """What --levels says: (low, high), "percentile" or None."""
    if text is None or text == "percentile":
        return text
    parts = [_number(part) for part in text.split(",")]
    if len(parts) != 2 or None in parts:
        raise UsageError(f"--levels takes two numbers or 'percentile', got {text!r}")
    return tuple(parts)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def opened(path: Path, classes: str | None, others: str, merge: Sequence[str] | None, levels: str | None) -> Any:
    """The data set at a path with its classes chosen."""
    joined: dict[str, list[str]] = {}
    for text in (part for several in merge or () for part in several.split(",")):
        parts, equals, name = text.partition("=")
        if not (equals and name and all(parts.split("+"))):
            raise UsageError(f"--merge takes OLD+OLD=NEW, such as bus+car=vehicle; got {text!r}")
        joined.setdefault(name.strip(), []).extend(p.strip() for p in parts.split("+"))
    return l2m.open(path, classes=words(classes), others=others, merge=joined or None, levels=black_and_white(levels))


def words(text: str | None) -> list[str] | None:
    """`cat,dog` as a list."""
    return [word.strip() for word in text.split(",") if word.strip()] if text else None


def settings(changes: Sequence[str]) -> dict[str, Any]:
    """{"a.b": value}; a value that reads as JSON is one, else it is text."""
    result: dict[str, Any] = {}
    for change in changes:
        path, equals, text = change.partition("=")
        if not (path and equals):
            raise UsageError(f"--set takes NAME=VALUE, such as optimiser.rate=3e-4; got {change!r}")
        try:
            result[path] = json.loads(text)
        except ValueError:
            result[path] = text
    return result


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: the Python verb's own defaults stand for the rest."""
    return {name: value for name, value in options.items() if value not in (None, False, [])}
