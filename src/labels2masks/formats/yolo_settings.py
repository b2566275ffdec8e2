"""What YOLO's data.yaml, or Darknet's .data file, says: names of the classes, and photos of each split.

No text in it is used as a path. It is compared with the paths of the photos and text files below the folder, and the
longest end that is one of them is meant.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import DataError
from .drawn import PhotoFiles
from .listing import read_text
from .notes import Notes

SPLITS = ("train", "val", "valid", "validation", "test")
SETTINGS = frozenset({"path", "names", "nc", "task", "kpt_shape", "flip_idx", "download", "channels", "roboflow"})
DEEPEST = 10
LARGEST = 1 << 20
"""Bytes of a data.yaml: a thousand classes take a fiftieth."""


def settings_file(path: Path) -> Path | None:
    """The data.yaml: the file itself, or the first such in the folder."""
    if path.is_file():
        return path if path.suffix.lower() in (".yaml", ".yml") and _is_settings(path) else None
    listed = sorted(p for p in path.glob("*.y*ml") if p.is_file())[:20]
    return next((p for p in sorted(listed, key=lambda p: p.name != "data.yaml") if _is_settings(p)), None)


def _is_settings(file: Path) -> bool:
    with open(file, "rb") as opened:
        head = opened.read(1 << 16)
    keys = set(re.findall(rb"^(names|nc|train|val|test|path)[ \t]*:", head, re.MULTILINE))
    return len(keys & {b"names", b"nc"}) > 0 and (len(keys) > 1 or (file.parent / "labels").is_dir())


def texts_below(root: Path) -> dict[str, Path]:
    """Path below the folder -> file, of all that may hold labels, lists and names."""
    return {
        (Path(parent) / file).relative_to(root).as_posix(): Path(parent) / file
        for parent, _, files in os.walk(root)
        for file in sorted(files)
        if file.endswith((".txt", ".names", ".data"))
    }


def read_yaml(file: Path) -> dict[str, Any]:
    """data.yaml as plain values. Aliases are refused: it needs none, and few of them can stand for gigabytes. Deep
    nesting is refused too: it takes hours."""
    if file.stat().st_size > LARGEST:
        raise DataError(f"{file}: {file.stat().st_size} bytes; expected a data.yaml of at most {LARGEST}")
    text = read_text(file)
    try:
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST or isinstance(event, yaml.AliasEvent):
                raise DataError(
                    f"{file}: has aliases (*name), or is nested deeply; write out what the aliases stand for"
                )
        value = yaml.safe_load(text)
    except DataError:
        raise
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{file}{line}: not valid YAML ({error.problem}); correct it") from None
    except Exception as error:  # impossible dates, whole numbers of thousands of digits
        raise DataError(f"{file}: not valid YAML ({type(error).__name__}); correct it") from None
    if not isinstance(value, dict):
        raise DataError(f"{file}: expected 'names', 'train' and 'val', each with a value behind a colon")
    return value


def read_darknet(texts: Mapping[str, Path], files: PhotoFiles) -> dict[str, Any]:
    """What data.yaml would say: from Darknet's .data file, else lists of photos and folders named as splits."""
    described = next((f for p, f in texts.items() if "/" not in p and p.endswith(".data")), None)
    if described is not None:
        pairs = (line.partition("=") for line in read_text(described).splitlines() if "=" in line)
        return {key.strip(): value.strip() for key, _, value in pairs}
    folders = _folders(files)
    ways = {s: [p for p in (f"{s}.txt", f"images/{s}", f"{s}/images") if p in texts or p in folders] for s in SPLITS}
    return {split: found[0] for split, found in ways.items() if found}


def class_names(
    settings: Mapping[str, Any], source: Path, texts: Mapping[str, Path], notes: Notes
) -> dict[int, str] | None:
    """Number in the label files -> class; None where nothing names them."""
    names = settings.get("names")
    if names is None or isinstance(names, str):
        lists = [p for p in texts if p.endswith(".names") or os.path.basename(p) == "classes.txt"]
        listed = _longest_end(_parts(names or ""), texts) or min(lists, key=lambda p: p.count("/"), default=None)
        if listed is not None:
            lines = (line.strip() for line in read_text(texts[listed]).splitlines())
            names = [line for line in lines if line]
    said = str(settings.get("nc", settings.get("classes")))
    count = int(said) if said.isdecimal() and len(said) < 10 else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return None if count is None or count > 65534 else {i: f"class_{i}" for i in range(count)}
    made: dict[int, str] = {}
    for key, name in names.items():
        if isinstance(name, bool) or not isinstance(name, str | int | float) or not str(name).strip():
            raise DataError(
                f"{source}, names, {str(key)[:40]}: expected a name; put words such as no and yes in quotes"
            )
        if not str(key).isdecimal() or len(str(key)) > 9:
            raise DataError(f"{source}, names: {str(key)[:40]!r}; expected the number of a class: 0, 1, ...")
        made[int(key)] = str(name).strip()
    if count is not None and count != len(made):
        notes.add("nc is another number than there are names; the names count", str(source))
    return made


def photos_of_splits(
    settings: Mapping[str, Any], source: Path, files: PhotoFiles, texts: Mapping[str, Path], notes: Notes
) -> dict[str, list[str]]:
    """Split -> paths of its photos: of the usual names, and of all others that name a list."""
    splits: dict[str, list[str]] = {}
    for key, value in settings.items():
        entries = value if isinstance(value, list) else [value]
        lists = all(isinstance(e, str) and e.endswith(".txt") for e in entries)
        if key in SETTINGS or not isinstance(key, str) or value is None or not (lists or key in SPLITS):
            continue
        found: dict[str, None] = {}
        for entry in entries:
            where = f"{source}, {key}"
            if not isinstance(entry, str):
                raise DataError(f"{where}: expected a folder, a list of photos, or several of them")
            members = _members(entry, settings.get("path"), files, texts, notes)
            if members is None:
                notes.add("folders and lists of photos that are not there are left out", where)
            found |= dict.fromkeys(members or ())
        if found:
            splits[key] = list(found)
    return splits


def _members(entry: str, base: Any, files: PhotoFiles, texts: Mapping[str, Path], notes: Notes) -> Iterable[str] | None:
    """Paths of the photos in a folder or a list; None where there is neither."""
    parts = _parts(entry)
    if not parts:
        return list(files.by_path)
    parts = [*_parts(base if isinstance(base, str) else ""), *parts]
    if not entry.endswith(".txt"):
        folder = _longest_end(parts, _folders(files))
        return None if folder is None else [p for p in files.by_path if p.startswith(f"{folder}/")]
    listed = _longest_end(parts, texts)
    if listed is None:
        return None
    members = []
    for number, line in enumerate(read_text(texts[listed]).splitlines(), 1):
        if line.strip():
            photo = files.find(f"{os.path.dirname(listed)}/{line.strip()}")
            if photo is None:
                notes.add("photos of lists that are not there are left out", f"{texts[listed]}, line {number}")
            else:
                members.append(photo[1].relative_to(files.folder).as_posix())
    return members


def _parts(text: str) -> list[str]:
    return [p for p in text.replace("\\", "/").split("/") if p not in ("", ".", "..")]


def _folders(files: PhotoFiles) -> frozenset[str]:
    """All folders that hold a photo at any depth."""
    folders: set[str] = set()
    for path in files.by_path:
        while (path := os.path.dirname(path)) and path not in folders:
            folders.add(path)
    return frozenset(folders)


def _longest_end(parts: Sequence[str], known: Collection[str]) -> str | None:
    """The longest end of a path that is known here, or is the end of a single one that is."""
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        ending = [tail] if tail in known else [k for k in known if k.endswith(f"/{tail}")]
        if len(ending) == 1:
            return ending[0]
    return None
