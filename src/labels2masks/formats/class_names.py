"""The classes of files that only have names for what is in a photo, and none for what is around it."""

from __future__ import annotations

from collections.abc import Iterable

from ..classes import Classes
from .listing import BACKGROUND_NAMES


def named_classes(names: Iterable[str]) -> Classes:
    """Classes in this order behind the background: one of the names where they have it, else "background" is added.

    File ids count from 0, the background's, and pass over 255, which is void.
    """
    given = list(dict.fromkeys(names))
    background = next((n for n in given if n.lower() in BACKGROUND_NAMES), "background")
    ordered = (background, *(n for n in given if n != background))
    ids = tuple(i if i < 255 else i + 1 for i in range(len(ordered)))
    return Classes(ordered, background=background, file_ids=ids)
