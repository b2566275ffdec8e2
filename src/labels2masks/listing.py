"""What there is to choose from: networks, encoders, recipes, steps, cues, formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from .errors import UsageError, did_you_mean

Rows = Sequence[Mapping[str, Any]]


def list_what(what: str) -> Rows:
    """One dictionary an item, each with at least `name`; or, for the name of a network, that network alone with `plan`:
    one row a stage, with its size for a photo of 512x512, stride and field.

    what: "networks", "encoders" (those that the contract tests run; any timm name may be tried), "recipes",
        "steps" (narrowing), "cues", "formats" (readers and writers of data sets).
    Raises UsageError for another word.
    """
    if what in KINDS:
        return KINDS[what]()
    networks = {row["name"]: row for row in KINDS["networks"]()}
    if what not in networks:
        raise UsageError(f"nothing to list under {what!r}{did_you_mean(what, [*KINDS, *networks])}")
    from .report.layer_plan import drawn_up, layer_plan

    return [{**networks[what], "plan": layer_plan(drawn_up(what))}]


def listed(rows: Rows) -> str:
    """The rows as a table, and below it the plan of a network that has one."""
    known = [{key: value for key, value in row.items() if key != "plan"} for row in rows]
    plans = [table(row["plan"]) for row in rows if "plan" in row]
    return "\n\n".join([table(known), *plans])


def table(rows: Rows) -> str:
    """The rows for a person: aligned columns, a column for each key that holds anything."""
    columns = [key for key in dict.fromkeys(k for row in rows for k in row) if any(_cell(row.get(key)) for row in rows)]
    lines = [columns, *([_cell(row.get(key)) for key in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None or value is False:
        return ""
    return f"{value:,}" if isinstance(value, int) and value > 9999 else "yes" if value is True else str(value)


def _of(module: str) -> Callable[[], Rows]:
    return lambda: import_module(f".{module}", __package__).available()


def _formats() -> Rows:
    from .formats.convert import WRITERS
    from .formats.label_json import FIELDS
    from .formats.open import READERS

    readers = {reader.__name__.rsplit(".", 1)[-1]: reader for reader in READERS}
    return [
        {
            "name": name,
            "reads": True,
            "writes": name in WRITERS,
            "holds": ", ".join(k for k in FIELDS if k in readers[name].HOLDS),
            "layout": readers[name].LAYOUT,
        }
        for name in readers
    ]


KINDS: dict[str, Callable[[], Rows]] = {
    "networks": _of("networks"),
    "encoders": _of("encoders"),
    "recipes": _of("recipes"),
    "steps": _of("narrowing"),
    "cues": _of("cues"),
    "formats": _formats,
}
