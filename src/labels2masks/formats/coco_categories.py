"""COCO's categories <-> classes. Ids have gaps, are texts, or above 65535; nobody lists the background."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..classes import Classes, Colour
from ..errors import DataError, UsageError
from .label_json import Field
from .listing import BACKGROUND_NAMES, VOID_NAMES


@dataclass(frozen=True)
class Category:
    name: str
    file_id: int | None
    colour: Colour | None
    group: str

    @property
    def is_void(self) -> bool:
        return self.name.lower() in VOID_NAMES

    @property
    def is_background(self) -> bool:
        return self.name.lower() in BACKGROUND_NAMES


def id_of(value: object) -> str:
    """An id as text: 7, 7.0 and "7" are one; "" for what is no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""


def category_of(item: Field) -> tuple[str, Category]:
    """(id, category) of an object. Raises DataError where it lacks id or name."""
    category_id = id_of(item.at("id").value)
    name = _plain(item.at("name").text())
    if not category_id or not name:
        raise item.fail("'id' and 'name'")
    colour, group = item.value.get("color"), item.value.get("supercategory")
    is_colour = isinstance(colour, list) and len(colour) == 3 and all(type(v) is int and 0 <= v < 256 for v in colour)
    return category_id, Category(
        name,
        int(category_id) if re.fullmatch(r"[0-9]{1,5}", category_id) and int(category_id) < 65536 else None,
        tuple(colour) if is_colour else None,
        _plain(group) if isinstance(group, str) else "",
    )


def _plain(name: str) -> str:
    """A name that can be printed: half of a surrogate pair is valid JSON, too."""
    return " ".join(name.encode(errors="replace").decode().split())


def classes_of(where: str, lists: Iterable[Collection[Category]], background: str | None) -> Classes:
    """All classes of the lists; ids that are taken or above 65535 become others. where: for errors.

    background: the name of the class that is added where none of them is one. Raises DataError.
    """
    found = [c for categories in lists for c in categories]
    listed: dict[str, Category] = {}
    for category in (c for c in found if not c.is_void):
        listed.setdefault(category.name, category)
    own = next((n for n, c in listed.items() if c.is_background), None)
    if own is None and background is not None:
        listed = {background: Category(background, None, (0, 0, 0), "")} | listed
    ids: dict[str, int] = {}
    for name, category in listed.items():
        if category.file_id is not None and category.file_id not in ids.values():
            ids[name] = category.file_id
    taken = set(ids.values())
    free = (i for i in range(65536) if i not in taken)
    colours = [c.colour for c in listed.values() if c.colour is not None]
    groups: dict[str, tuple[str, ...]] = {}
    for name, category in listed.items():
        if category.group not in ("", "none", *listed):
            groups[category.group] = (*groups.get(category.group, ()), name)
    void = {c.name for c in found if c.is_void}
    groups |= {name: tuple(listed) for name in void}  # areas may bear these names
    try:
        return Classes(
            names=tuple(listed),
            colours=tuple(colours) if len(colours) == len(listed) else (),
            background=own or background,
            file_ids=tuple(ids[n] if n in ids else next(free) for n in listed),
            groups=groups,
        )
    except (UsageError, StopIteration) as error:
        raise DataError(f"{where}, categories: {error}") from error


def categories_of(classes: Classes, names: Iterable[str], shift: int) -> Iterator[dict[str, Any]]:
    """A category of each of the classes `names`; its id is the file id + shift."""
    for name in names:
        place = classes.index(name)
        group = next((g for g, members in classes.groups.items() if name in members), "")
        colour = list(classes.colours[place])
        yield {"id": classes.file_ids[place] + shift, "name": name, "supercategory": group, "color": colour}
