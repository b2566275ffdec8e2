"""Names of photos, lists of them, and lists of classes: what the readers of folders share.

A photo's name is its path below the image folder, without suffix, with '/' between parts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..classes import Classes, Colour
from ..errors import DataError, UsageError
from .colour_rows import COLOUR_FILES, colour_rows
from .image import SUFFIXES

CLASS_FILES = ("classes.json", "classes.txt", "class_names.txt", "meta.json", *COLOUR_FILES)
BACKGROUND_NAMES = frozenset({"background", "bg", "_background_", "__background__"})
VOID_NAMES = frozenset({"void", "ignore", "unlabelled", "unlabeled", "__ignore__", "ignored"})


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, file) of every image below a folder; hidden files and folders are passed over."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        below = Path(parent).relative_to(folder)
        for file in sorted(files):
            stem, suffix = os.path.splitext(file)
            if suffix.lower() in SUFFIXES and not file.startswith("."):
                yield (below / stem).as_posix(), Path(parent) / file


def has_images(folder: Path) -> bool:
    return next(_walk(folder), None) is not None


def files_by_name(folder: Path, leave_out: Path | None = None) -> dict[str, list[Path]]:
    """name -> image files of that name below a folder, sorted by name."""
    found: dict[str, list[Path]] = {}
    for name, file in _walk(folder):
        if leave_out is None or leave_out not in file.parents:
            found.setdefault(name, []).append(file)
    return dict(sorted(found.items()))


def one_file_each(files: Mapping[str, list[Path]]) -> dict[str, Path]:
    """DataError where two files share a name."""
    for found in files.values():
        if len(found) > 1:
            first, second = found[0].name, found[1].name
            raise DataError(f"{found[0].parent}: {first} and {second} have the same name; rename or remove one of them")
    return {name: found[0] for name, found in files.items()}


def images_below(folder: Path) -> dict[str, Path]:
    """name -> file of every image below a folder, sorted by name. DataError where two share a name."""
    return one_file_each(files_by_name(folder))


def read_list(path: Path, known: Mapping[str, object], where: str) -> tuple[str, ...]:
    """The photo names of one text file, a name, file name or path a line; further columns are ignored.

    known: the photos there are. where: the image folder, for the error.
    Raises DataError for an empty list, a photo that is not there and one that is listed twice.
    """
    short: dict[str, str | None] = {}
    for name in known:
        last = name.rsplit("/", 1)[-1]
        short[last] = None if last in short else name
    names: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        photo = next((n for t in (line.strip(), line.split()[0]) if (n := _known(t, known, short))), None)
        if photo is None:
            raise DataError(f"{path}, line {number}: no photo {line.strip()!r} in {where}; correct or remove the line")
        if photo in names:
            raise DataError(f"{path}, line {number}: {photo!r} is already in line {names[photo]}; remove one of them")
        names[photo] = number
    if not names:
        raise DataError(f"{path}: an empty list; expected a photo name a line: fill it or remove it")
    return tuple(names)


def _known(text: str, known: Mapping[str, object], short: Mapping[str, str | None]) -> str | None:
    """The photo that a line means: its name, a path that ends in it, or its last part where that is unique."""
    text = text.replace("\\", "/")
    stem, suffix = os.path.splitext(text)
    for candidate in (text, stem) if suffix.lower() in SUFFIXES else (text,):
        parts = [p for p in candidate.split("/") if p not in ("", ".")]
        for start in range(len(parts)):
            if (tail := "/".join(parts[start:])) in known:
                return tail
        if parts and (found := short.get(parts[-1])):
            return found
    return None


def read_lists(folder: Path, known: Mapping[str, object], where: str) -> dict[str, tuple[str, ...]]:
    """All lists of a folder: stem -> photo names."""
    return {f.stem: read_list(f, known, where) for f in sorted(folder.glob("*.txt")) if f.is_file()}


def class_list(folder: Path) -> tuple[Classes | None, Path | None]:
    """The classes that a folder's own files name, and the file; (None, None) where there is none."""
    for name in CLASS_FILES:
        path = folder / name
        if path.is_file():
            if name in COLOUR_FILES:
                classes = _classes_of_colours(path)
            else:
                classes = _classes_of_json(path) if path.suffix == ".json" else _classes_of_text(path)
            if classes is not None:
                return classes, path
    return None, None


def _classes_of_text(path: Path) -> Classes:
    """One name a line; `3 cat` or `3: cat` gives the id too; `#` begins a comment."""
    lines = [line.split("#")[0].strip() for line in read_text(path).splitlines()]
    lines = [line for line in lines if line]
    numbered = [re.fullmatch(r"(\d+)\s*[:,;\s]\s*(.+)", line) for line in lines]
    if all(numbered):
        pairs = [(m.group(2).strip(), int(m.group(1))) for m in numbered if m]
    else:
        pairs = [(name, i) for i, name in enumerate(lines)]
    return made_classes(path, pairs, {255})


def _classes_of_colours(path: Path) -> Classes | None:
    """Classes with ids in the order of the lines. Black "void" is void, in any other colour it stays a class.

    For void has no colour of its own but black (`dataset.VOID_COLOURS`), and masks in that colour could not be read.
    """
    rows = colour_rows(path, read_text(path))
    if rows is None:
        return None
    void = [i for i, (name, colour) in enumerate(rows) if name.lower() in VOID_NAMES and colour == (0, 0, 0)]
    kept = [(i, name, colour) for i, (name, colour) in enumerate(rows) if i not in void]
    try:
        return Classes(
            names=tuple(name for _, name, _ in kept),
            colours=tuple(colour for _, _, colour in kept),
            background=next((name for _, name, _ in kept if name.lower() in BACKGROUND_NAMES), None),
            file_ids=tuple(i for i, _, _ in kept),
            void_ids=frozenset({255, *void}),
        )
    except UsageError as error:
        raise DataError(f"{path}: {error}") from error


def _classes_of_json(path: Path) -> Classes | None:
    value = read_json(path)
    if isinstance(value, dict) and "names" in value:
        try:
            return Classes.from_json(value)
        except (UsageError, TypeError, ValueError) as error:
            raise DataError(f"{path}: {error}") from error
    names = value.get("classes") if isinstance(value, dict) else value
    if path.name == "meta.json" and names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise DataError(f"{path}: expected a list of class names, or an object with 'names' (or 'classes')")
    facts: dict[str, Any] = value if isinstance(value, dict) else {}
    void = {i for key in ("void_index", "ignore_index", "void_id") if isinstance(i := facts.get(key), int)}
    palette = facts.get("palette", facts.get("colours", []))
    try:
        colours = [(int(r), int(g), int(b)) for r, g, b in palette]
    except (TypeError, ValueError):
        raise DataError(f"{path}: 'palette' must be a list of [red, green, blue]") from None
    return made_classes(path, [(n, i) for i, n in enumerate(names)], void or {255}, colours)


def made_classes(
    path: Path, pairs: Iterable[tuple[str, int]], void: Iterable[int], colours: Iterable[Colour] = ()
) -> Classes:
    """Classes from (name, id) pairs; names such as "void" become void ids, "background" the background.

    colours: the palette by position in `pairs`, used where it covers them. Raises DataError.
    """
    pairs, palette = list(pairs), list(colours)
    ignored = {i for name, i in pairs if name.lower() in VOID_NAMES}
    kept = [(name, i, k) for k, (name, i) in enumerate(pairs) if i not in ignored]
    if not kept:
        raise DataError(f"{path}: no class names; expected one a line")
    try:
        return Classes(
            names=tuple(name for name, _, _ in kept),
            colours=tuple(palette[k] for _, _, k in kept) if len(palette) >= len(pairs) else (),
            background=next((name for name, _, _ in kept if name.lower() in BACKGROUND_NAMES), None),
            file_ids=tuple(i for _, i, _ in kept),
            void_ids=frozenset(void) | ignored,
        )
    except UsageError as error:
        raise DataError(f"{path}: {error}") from error


def read_text(path: Path) -> str:
    """UTF-8 text, with or without a byte-order mark. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8; save it as UTF-8") from None


def read_json(path: Path) -> Any:
    """A JSON file; DataError with the line where it is damaged."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}: not valid JSON ({error.msg}); correct or export it again"
        ) from None
    except RecursionError:
        raise DataError(f"{path}: JSON nested too deeply; expected a plain label file") from None
