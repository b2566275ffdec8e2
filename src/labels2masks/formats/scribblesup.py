"""ScribbleSup: scribbles for the photos of PASCAL VOC, as XML or as PNG.

Lin et al. 2016, "ScribbleSup: Scribble-Supervised Convolutional Networks for Semantic Segmentation". Beside VOC's
JPEGImages lies

    pascal_2012/*.xml   as published, maybe in scribble_annotation/: an element `polygon` for each scribble, with the
                        class in `tag` and its `point`s in whole pixels `X`, `Y` from 0. Five tags are shorter than
                        VOC's names: plane, bike, table, plant, monitor
    *scribble*/*.png    as later papers use them: ids where there is ink, 255 elsewhere. Read as ink (see `ink`), not
                        as a mask; where both are there the XML is read

The annotators had to mark every object of every class, so the scribbles are complete. What else VOC's folders hold is
read too: `--kinds scribbles` leaves it out. Opening the PNG takes about 30 ms a photo; --to jsonl keeps the strokes.

Written are VOC's folders and pascal_2012/*.xml. Strokes lose their width (it is 3, as these papers draw them) and the
fractions of pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import floor
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError, SubElement

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from ..classes import Classes, Vocabulary
from ..errors import DataError
from ..files import write_atomically
from ..labels import Label, Scribbles, Stroke
from ..progress import track
from . import voc
from .dataset import Dataset, Photo
from .drawn import on_upright
from .folder import SPLITS
from .image import read_mask
from .ink import strokes_of
from .listing import class_list, images_below, read_list
from .marks import NOT_FINITE, Marks, drawable_size
from .notes import Notes
from .written import Written, file_names, labels_of, size_of

LAYOUT = "VOC's JPEGImages/ with pascal_2012/*.xml or *scribble*/*.png"
HOLDS = voc.HOLDS | {"scribbles"}
WIDTH = 3.0
TAGS = {"aeroplane": "plane", "bicycle": "bike", "diningtable": "table", "pottedplant": "plant", "tvmonitor": "monitor"}
"""VOC's name -> the tag, where they differ."""


def recognises(path: Path) -> bool:
    return _found(path) is not None


def read(path: Path) -> Dataset:
    """Raises DataError as `voc` does, and for damaged XML and masks."""
    root, folder = _found(path) or (path, path)
    base = _base(root)
    is_xml = next(folder.glob("*.xml"), None) is not None
    names = {f.stem: f for f in sorted(folder.glob("*.xml" if is_xml else "*.png"))}
    notes = Notes()
    drawn: dict[str, tuple[Marks, tuple[int, int] | None]] = {}
    for photo in track(base.photos, "reading scribbles"):
        file, where = names.pop(photo.name, None), f"photo {photo.name!r}"
        size = drawable_size(photo.image, notes, where) if file is not None else None
        if file is not None and size is not None:
            marks = Marks(size, notes, where)
            drawn[photo.name] = marks, (_read_xml if is_xml else _read_ink)(file, marks, base.classes)
    if names:
        notes.add("scribbles without a photo", f"{next(iter(names.values()))}", len(names))
    if not drawn:
        raise DataError(f"{folder}: scribbles for none of the photos in {root / 'JPEGImages'}; expected equal names")
    classes = _with(base, {n for marks, _ in drawn.values() for n in marks.names})
    vocabulary = Vocabulary.same(classes)
    photos = []
    for photo in base.photos:
        labels = photo.labels
        if photo.name in drawn:
            marks, size = drawn[photo.name]
            made = _scribbles(marks, classes, notes)
            labels += on_upright(made, photo.image, size, notes, f"photo {photo.name!r}")
        photos.append(replace(photo, labels=labels, vocabulary=vocabulary))
    lists = {s: root / f"{s}.txt" for s in SPLITS if (root / f"{s}.txt").is_file()}
    known = {p.name: None for p in photos}
    splits = {s: read_list(file, known, "JPEGImages/") for s, file in lists.items()} | dict(base.splits)
    return Dataset(classes, tuple(photos), splits, root, "scribblesup", base.notes + notes.lines())


def _found(path: Path) -> tuple[Path, Path] | None:
    """(VOC's folder, that of the scribbles)."""
    for root in (path, *sorted(path.glob("VOC2*")), *sorted(path.glob("VOCdevkit/VOC2*"))):
        if (root / "JPEGImages").is_dir():
            below = [d for d in sorted(root.iterdir()) if d.is_dir() and d.name != "JPEGImages"]
            inked = [d for d in below if "scribble" in d.name.lower()]
            inner = [d for outer in inked for d in sorted(outer.iterdir()) if d.is_dir()]
            published = [d for d in (*below, *inner) if d.name.startswith("pascal_") and next(d.glob("*.xml"), None)]
            pictures = [d for d in (*inked, *inner) if next(d.glob("*.png"), None)]
            first = sorted(published, key=lambda d: d.name != "pascal_2012") + pictures
            if first:
                return root, first[0]
    return None


def _base(root: Path) -> Dataset:
    """The data set without the scribbles."""
    if voc.recognises(root):
        return voc.read(root)
    classes = class_list(root)[0] or voc.CLASSES
    images = images_below(root / "JPEGImages")
    vocabulary = Vocabulary.same(classes)
    return Dataset(classes, tuple(Photo(name, file, (), vocabulary) for name, file in images.items()))


def _with(base: Dataset, names: set[str]) -> Classes:
    """The classes, and those that only scribbles name: of PASCAL-Context, say. Masks do not know such: there they are
    left out."""
    foreign = sorted(names - set(base.classes.names))
    if not foreign or any(p.labels for p in base.photos) or base.classes != voc.CLASSES:
        return base.classes
    listed = (*base.classes.names, *foreign)
    ids = tuple(i if i < 255 else i + 1 for i in range(len(listed)))
    return replace(base.classes, names=listed, colours=voc.palette(len(listed)), file_ids=ids)


def _scribbles(marks: Marks, classes: Classes, notes: Notes) -> tuple[Label, ...]:
    kept = tuple(s for s in marks.strokes if s.name in classes.names)
    if len(kept) < len(marks.strokes):
        notes.add("scribbles of classes that are not in the class list", marks.where)
    sure = frozenset() if None in marks.doubtful else frozenset(classes.foreground) - marks.doubtful
    return (Scribbles(kept, sure),) if kept else ()


def _read_xml(file: Path, marks: Marks, classes: Classes) -> tuple[int, int] | None:
    """The scribbles go into `marks`; the size of the picture that they were drawn on, where the file says it."""
    try:
        root = parse(file).getroot()
    except (ParseError, DefusedXmlException, ValueError, LookupError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: not readable scribbles ({type(error).__name__}: {reason}); copy it again") from error
    full_name = {tag: name for name, tag in TAGS.items() if tag not in classes.names}
    height, width = _number(root, "size/height"), _number(root, "size/width")
    size = (int(height), int(width)) if height >= 1 and width >= 1 else None
    if size is not None and size == (marks.width, marks.height):
        marks.height, marks.width = size  # drawn on the stored picture, which EXIF turns
    for item in root.iter("polygon"):
        tag = (item.findtext("tag") or "").strip()
        line_N2 = np.array([(_number(p, "X"), _number(p, "Y")) for p in item.iter("point")]).reshape(-1, 2) + 0.5
        if not tag or not len(line_N2):
            marks.leave_out(tag or None, "scribbles without a class or a point")
        elif not np.isfinite(line_N2).all():
            marks.leave_out(full_name.get(tag, tag), NOT_FINITE)
        else:
            marks.stroke(full_name.get(tag, tag), line_N2)
    marks.strokes = [replace(s, width=WIDTH) for s in marks.strokes]
    return size


def _number(item: Element, path: str) -> float:
    """NaN where there is none."""
    try:
        return float(item.findtext(path) or "nan")
    except ValueError:
        return float("nan")


def _read_ink(file: Path, marks: Marks, classes: Classes) -> tuple[int, int]:
    ids_HW = read_mask(file)
    known = dict(zip(classes.file_ids, classes.names, strict=True))
    for i in np.unique(ids_HW).tolist():
        if i in known:
            marks.strokes += strokes_of(ids_HW == i, known[i])
        elif i not in classes.void_ids:
            marks.leave_out(None, "scribbles in ids that are no class")
    return ids_HW.shape


def write(data: Dataset, path: Path | str) -> Written:
    """Raises UsageError and DataError as `voc.write` does."""
    bare = tuple(replace(p, labels=tuple(x for x in p.labels if not isinstance(x, Scribbles))) for p in data.photos)
    written = voc.write(replace(data, photos=bare), path)
    notes = Notes()
    names = file_names(data, Notes())  # as `voc` has placed the photos
    for photo in data.photos:
        if strokes := list(_writable(photo, notes)):
            target = written.path / "pascal_2012" / f"{names[photo.name]}.xml"
            write_atomically(target, _xml(photo, strokes))
    return Written(written.path, written.left_out + notes.lines())


def _writable(photo: Photo, notes: Notes) -> Iterator[Stroke]:
    source, where = photo.vocabulary.source, f"photo {photo.name!r}"
    for label in labels_of(photo, Scribbles):
        assert isinstance(label, Scribbles)
        if label.seconds is not None:
            notes.add("seconds that labelling took, which scribblesup has no place for", where)
        if {m for n in label.complete for m in source.members(n)} < set(source.foreground):
            notes.add(
                "that classes may be there without a scribble: reading scribblesup takes them to be absent", where
            )
        for stroke in label.marks:
            if stroke.negative or stroke.name not in source.names or not stroke.name.isprintable():
                notes.add('"not this" strokes, and those of a group of classes', where)
                continue
            if stroke.width != WIDTH:
                notes.add("the width of strokes: it is 3", where)
            if any(v - 0.5 != floor(v) for xy in stroke.xy for v in xy):
                notes.add("fractions of pixels in strokes", where)
            yield stroke


def _xml(photo: Photo, strokes: list[Stroke]) -> bytes:
    height, width = size_of(photo)
    root = Element("annotation")
    SubElement(root, "filename").text = photo.image.name
    _texts(SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    for stroke in strokes:
        item = SubElement(root, "polygon")
        tag = TAGS.get(stroke.name, stroke.name)
        SubElement(item, "tag").text = stroke.name if tag in photo.vocabulary.source.names else tag
        for x, y in stroke.xy:
            _texts(SubElement(item, "point"), {"X": floor(x), "Y": floor(y)})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _texts(item: Element, numbers: Mapping[str, int]) -> None:
    for name, number in numbers.items():
        SubElement(item, name).text = str(number)
