"""A photo's labels as marks that a drawing tool's format can hold, and sentences about all that it can not.

Legend: H, W = pixels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from math import ceil, floor

import numpy as np

from ..classes import Classes
from ..labels import Boxes, Label, Mask, Point, Points, Region, Regions, Scribbles, Stroke, Tags, kind_name
from ..labels.outlines import filled
from .dataset import Dataset, Photo
from .listing import BACKGROUND_NAMES
from .marks import Marks, is_void
from .notes import Notes
from .written import as_regions, size_of

IGNORED = "__ignore__"
"""The name under which LabelMe's own converters, and our readers, take an area for void."""


def marks_of(photo: Photo, holds: Collection[str], notes: Notes, name: str, void: bool, absent: bool) -> Marks:
    """The photo's labels of the kinds in `holds` as marks; masks are outlined. name: the format's.

    void: can it say that an area is void? absent: can a tag say that a class is not there?
    Raises DataError where the photo or a mask can not be read.
    """
    where = f"photo {photo.name!r}"
    source = photo.vocabulary.source
    marks = Marks(size_of(photo), notes, where)

    def known(names: Iterable[str]) -> set[str]:
        named = set(names)
        if not named.issubset(source.names):
            notes.add(f"marks that say one of several classes, which {name} has no place for", where)
        return named & set(source.names)

    for label in photo.labels:
        if isinstance(label, Tags) and "tags" in holds:
            marks.present |= known(label.present)
            if denied := _members(source, {*label.absent, *label.complete}) - marks.present - {source.background}:
                if absent:
                    marks.absent |= denied
                else:
                    notes.add(f"that a class is absent, which {name} has no place for", where)
        elif isinstance(label, Points | Scribbles) and kind_name(label) in holds:
            if label.complete:
                notes.add(f"that every class in the photo has a click or a line, which {name} has no place for", where)
            for mark in label.marks:
                if mark.negative:
                    notes.add(f'"not this class here", which {name} has no place for', where)
                elif not known({mark.name}):
                    continue
                elif isinstance(mark, Point):
                    marks.point(mark.name, mark.x, mark.y)
                else:
                    if mark.width != Stroke.width:
                        notes.add(f"widths of lines, which {name} has no place for", where)
                    marks.stroke(mark.name, mark.xy)
        elif isinstance(label, Boxes) and "boxes" in holds:
            for box in label.marks:
                if box.extremes:
                    notes.add(f"extreme points of boxes, which {name} has no place for", where)
                if known({box.name}):
                    marks.turned_box(box.name, box.corners)
    for region in as_regions(photo, notes, name) if "regions" in holds else ():
        if region.crowd and void:
            if not is_void(region.name):
                notes.add(f"what a crowd is of: {name} only knows areas that state nothing", where)
            marks.region(IGNORED, region.polygons)
        elif region.crowd:
            notes.add(f"crowds: {name} says of a place without an outline that nothing is there", where)
        elif known({region.name}):
            marks.region(region.name, region.polygons)
    return marks


def _members(source: Classes, names: Iterable[str]) -> set[str]:
    return {member for name in names for member in source.members(name)}


def is_settled(photo: Photo, marks: Marks, notes: Notes, name: str) -> bool:
    """Does the photo, marked so, belong into the files: is anything drawn, or was it looked at and nothing found?

    Notes where reading would promise less than the labels do, or more.
    """
    source = photo.vocabulary.source
    where = f"photo {photo.name!r}"
    promised = _promised(photo.labels, source)
    in_vain, marks.doubtful = marks.doubtful, set()  # who reads the files knows nothing of what was left out
    if marks.empty:
        nothing_there = bool(promised) and promised.issuperset(source.foreground) and not in_vain
        if promised and not nothing_there:
            notes.add(f"that some classes are absent, which {name} has no place for", where)
        return nothing_there
    again = _promised(marks.labels(source), source)
    if promised - again:
        notes.add(f"that no object of a class is unmarked: {name} says it where it is only boxed or outlined", where)
    if again - promised:
        notes.add(f"that objects may be unmarked: {name} promises all of them where one is boxed or outlined", where)
    return True


def _promised(labels: Iterable[Label], source: Classes) -> set[str]:
    """The classes of which every object is boxed or outlined."""
    promised: set[str] = set()
    for label in labels:
        if isinstance(label, Mask):
            promised |= set(source.foreground)
        elif isinstance(label, Boxes | Regions):
            promised |= _members(source, label.complete) - {source.background}
    return promised


def classes_left_out(data: Dataset, notes: Notes, name: str, colours: bool = False) -> None:
    """What a bare list of names can not hold of the classes. colours: does the format hold them?"""
    classes, where = data.classes, "the class list"
    if classes.background is None:
        notes.add(f"that no class means none of the others: reading {name} adds a background", where)
    elif classes.background.lower() not in BACKGROUND_NAMES:
        notes.add(f"the name of the background: reading {name} calls it 'background'", where)
    elif classes.names[0] != classes.background:
        notes.add(f"the place of the background: reading {name} puts it first", where)
    if classes.file_ids != tuple(range(len(classes))):
        notes.add(f"the ids of the classes in mask files, which {name} has no place for", where)
    if any(not is_void(group) for group in classes.groups):
        notes.add(f"groups of classes, which {name} has no place for", where)
    if not colours and classes.colours != Classes(classes.names).colours:
        notes.add(f"the colours of the classes, which {name} has no place for", where)


def nothing_anywhere(data: Dataset, notes: Notes, name: str) -> None:
    """Notes where no photo has a mark, so that a file without marks does not say that there are none."""
    drawn = [x for p in data.photos for x in p.labels if isinstance(x, Boxes | Regions)]
    masks = any(isinstance(x, Mask) for p in data.photos for x in p.labels)
    if not masks and any(x.complete for x in drawn) and not any(x.marks for x in drawn):
        notes.add(f"that there is nothing: {name} says it beside photos with boxes or outlines", "every photo")


def listed_names(classes: Classes) -> dict[str, str]:
    """Class -> name by which readers know it again: its own, but a background that they would not take for one."""
    return {
        n: "background" if n == classes.background and n.lower() not in BACKGROUND_NAMES else n for n in classes.names
    }


def split_stems(data: Dataset, notes: Notes) -> dict[str, str]:
    """Split -> name of a file that lists its photos, without suffix."""
    stems: dict[str, str] = {}
    for split in data.splits:
        stem = re.sub(r"[^\w.-]", "_", split)
        if stem.lower() in {s.lower() for s in stems.values()}:
            notes.add("splits whose names differ in no letter or digit", f"split {split!r}")
        else:
            stems[split] = stem
    return stems


def pixels(region: Region, height: int, width: int) -> tuple[np.ndarray, int, int]:
    """(bool HW, left, top): the region's pixels in a photo of height x width, and where this piece of it begins."""
    x0, y0, x1, y1 = region.bounds
    left, top = max(floor(x0), 0), max(floor(y0), 0)
    piece_HW = np.zeros((max(min(ceil(y1), height) - top, 1), max(min(ceil(x1), width) - left, 1)), bool)
    for polygon in region.polygons:
        piece_HW |= filled([ring_N2 - (left, top) for ring_N2 in polygon], *piece_HW.shape)
    return piece_HW, left, top
