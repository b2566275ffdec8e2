"""COCO's instances as JSON: outlines, boxes, keypoints, crowds (Lin et al. 2014, "Microsoft COCO").

What the numbers mean: polygons and boxes (x, y, width, height) are continuous, pixel x covers [x, x + 1); a keypoint is
the index of a pixel, so that its centre is at + 0.5. A polygon has no holes; the polygons of an annotation are united.
Run lengths (RLE) go down the columns. Annotations lie in the order of the file, the later ones on top.

    segmentation    a region, which implies its box; bbox alone is a box
    keypoints       points of the class where they are visible (2); hidden ones (1) lie on other pixels
    iscrowd 1       nothing is said inside; nor is it of a category called "void"
Annotation ids mean nothing here: two with one id are two.

Complete: who annotates a photo annotates all objects in it; so a photo with an outline or a box has all of each class,
but for classes with both kinds, and with one that was left out; in LVIS only what it says to have searched for. A photo
without annotations was not looked at, for all one knows.

`predict --also coco` writes all pixels of a class as one annotation with iscrowd 1, and says so in `info`:
"labels2masks_semantic": {"background": its name or null}. Of such a file, regions are no crowds, every photo is
complete, and what no annotation covers is the background, or void where that is null.

In memory: what is kept of the labels. Precision of what is written: outlines float32, exactly; those with holes, and
crowds, to the pixel (RLE); boxes to the last bits of a float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..classes import Classes
from ..errors import UsageError
from ..labels import Boxes, Label, Points, Regions
from ..labels.kinds import Polygon
from .coco_annotations import annotations_of
from .coco_categories import categories_of, classes_of, id_of
from .coco_file import CocoFile, Entry, coco_files, dataset_of, read_files
from .coco_shapes import Bounds, bounds, outlines, rectangle, visible
from .coco_written import images_of, parts_of, write_lists
from .dataset import Dataset
from .drawn import on_upright
from .marks import Marks, drawable_size
from .notes import Notes
from .written import Written, empty_folder, file_names, labels_of, left_out, place_photo, same_source

LAYOUT = "COCO's instances_*.json (keypoints, stuff, LVIS alike), or a folder with annotations/*.json"
HOLDS = frozenset({"points", "boxes", "regions", "mask"})
SEMANTIC = "labels2masks_semantic"


def recognises(path: Path) -> bool:
    return next(coco_files(path, "instances"), None) is not None


@dataclass(slots=True)
class _Drawn:
    """What was drawn on one image, on a picture of `size` (height, width); `upright` is the photo's. Classes by id."""

    size: tuple[int, int]
    upright: tuple[int, int]
    regions: list[tuple[str, tuple[Polygon, ...], bool]] = field(default_factory=list)
    boxes: list[tuple[str, Bounds]] = field(default_factory=list)
    points: list[tuple[str, float, float]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def read(path: Path) -> Dataset:
    """Raises DataError where a file is no COCO JSON or none of its images is there."""
    notes = Notes()
    drawn: dict[tuple[Path, str], _Drawn | None] = {}

    def take(listed: CocoFile, i: int, value: Mapping[str, Any]) -> None:
        image_id = id_of(value.get("image_id"))
        entry, key = listed.entries.get(image_id), (listed.path, image_id)
        if image_id not in listed.entries:
            notes.add("annotations of images that are not listed are left out", f"{listed.path.name}, annotations[{i}]")
        elif entry is not None:
            if key not in drawn:
                drawn[key] = _on(entry, notes)
            if (on := drawn[key]) is not None:
                _take(on, value, notes, lambda: f"{listed.path.name}, annotations[{i}]")

    files = read_files(path, "instances", notes, take)
    classes = classes_of(str(path), [f.categories.values() for f in files], _background(files[0]))
    naming = {f.path: _Naming(f, classes) for f in files}

    def labels(listed: CocoFile, image_id: str, entry: Entry, before: tuple[Label, ...]) -> tuple[Label, ...]:
        found = _labels(naming[listed.path], entry, drawn.pop((listed.path, image_id), None), notes)
        return _joined((*before, *found)) if before else found

    return dataset_of(path, "coco", files, classes, labels, notes)


def _semantic(listed: CocoFile) -> Mapping[str, Any] | None:
    marker = listed.info.get(SEMANTIC)
    return marker if isinstance(marker, dict) else None


def _background(listed: CocoFile) -> str | None:
    """The name of the background that is added: as the marker says, else "background"."""
    marker = _semantic(listed)
    name = marker.get("background") if marker is not None else "background"
    return name if isinstance(name, str) or name is None else "background"


def _on(entry: Entry, notes: Notes) -> _Drawn | None:
    """A picture to draw on: of the size that the file states where that is the photo's, upright or turned."""
    upright = drawable_size(entry.image, notes, f"photo {entry.name!r}")
    if upright is None:
        return None
    return _Drawn(entry.size if entry.size in (upright, upright[::-1]) else upright, upright)


def _take(drawn: _Drawn, value: Mapping[str, Any], notes: Notes, where: Callable[[], str]) -> None:
    """Add the shapes of one annotation. What is damaged is noted, and nothing is promised of its class."""
    category, crowd = id_of(value.get("category_id")), value.get("iscrowd") == 1

    lost = len(drawn.lost)

    def note(sentence: str) -> None:
        notes.add(sentence, where())
        drawn.lost.append(category)

    points = () if crowd else visible(value.get("keypoints"), note)
    drawn.points += [(category, x, y) for x, y in points]
    if polygons := outlines(value.get("segmentation"), drawn.size, note):
        drawn.regions.append((category, polygons, crowd))
    elif (found := bounds(value.get("bbox"), note)) is not None:
        if crowd:
            drawn.regions.append((category, rectangle(*found), True))
        else:
            drawn.boxes.append((category, found))
    elif points:
        drawn.lost.append(category)  # an object without a box
    elif len(drawn.lost) == lost:
        note("annotations without outline, box or visible keypoint are left out")


class _Naming:
    """How the category ids of one file read in the classes of the data set."""

    def __init__(self, listed: CocoFile, classes: Classes) -> None:
        self.classes = classes
        self.void = {i for i, c in listed.categories.items() if c.is_void}
        # Under the background's name an area that states nothing leaves the rest of the photo a mask.
        self.names = {i: classes.background or c.name for i, c in listed.categories.items() if i in self.void}
        self.names |= {i: c.name for i, c in listed.categories.items() if i not in self.void}
        self.foreground = listed.foreground
        self.semantic = _semantic(listed) is not None
        self._met: dict[frozenset[str], frozenset[str]] = {}

    def once(self, names: frozenset[str]) -> frozenset[str]:
        """The same set for equal sets: 100,000 photos of 80 classes would take a gigabyte."""
        return self._met.setdefault(names, names)


def _labels(naming: _Naming, entry: Entry, drawn: _Drawn | None, notes: Notes) -> tuple[Label, ...]:
    """What one file says of one photo, by the names of classes."""
    if drawn is None:
        return (Regions((), naming.foreground),) if naming.semantic else ()
    names, void, where = naming.names, naming.void, f"photo {entry.name!r}"
    used = {c for marks in (drawn.regions, drawn.boxes, drawn.points) for c, *_ in marks} | set(drawn.lost)
    marks = Marks(drawn.size, notes, where)
    for category, polygons, crowd in drawn.regions:
        if category in names:
            marks.region(names[category], polygons, category in void or (crowd and not naming.semantic))
    for category, found in drawn.boxes:
        if category in void:
            marks.region(names[category], rectangle(*found), crowd=True)
        elif category in names:
            marks.box(names[category], *found)
    marks.doubtful |= {names.get(category) for category in drawn.lost}
    if not used <= names.keys():
        marks.leave_out(None, "annotations of categories that are not listed are left out")
    boxed, outlined = (promised & naming.foreground for promised in marks.promised(naming.classes))
    if entry.asked is not None:
        none, some = ({names[i] for i in ids if i in names} for ids in entry.asked)
        asked = ({names[i] for i in used if i in names} | none) - some
        boxed, outlined = boxed & asked, outlined & asked
    for category, x, y in drawn.points:
        if category in names and category not in void:
            marks.point(names[category], x, y)
    labels: list[Label] = []
    if marks.regions or naming.semantic:
        labels.append(Regions(tuple(marks.regions), naming.once(outlined)))
    if marks.boxes:
        labels.append(Boxes(tuple(marks.boxes), naming.once(boxed)))
    if marks.points:
        labels.append(Points(tuple(marks.points)))
    if entry.size in (None, drawn.upright):
        return tuple(labels)
    return on_upright(labels, entry.image, entry.size, notes, where)


def _joined(labels: Sequence[Label]) -> tuple[Label, ...]:
    """One label of each kind for a photo that is listed several times; what is said twice counts once."""
    outlined = [x for x in labels if isinstance(x, Regions)]
    boxed = [x for x in labels if isinstance(x, Boxes)]
    regions = dict.fromkeys(m for x in outlined for m in x.marks)
    boxes = dict.fromkeys(m for x in boxed for m in x.marks)
    points = dict.fromkeys(m for x in labels if isinstance(x, Points) for m in x.marks)
    made: list[Label] = []
    if outlined:
        complete = frozenset[str]().union(*(x.complete for x in outlined))
        made.append(Regions(tuple(regions), complete - {m.name for m in boxes}))
    if boxed:
        complete = frozenset[str]().union(*(x.complete for x in boxed))
        made.append(Boxes(tuple(boxes), complete - {m.name for m in regions}))
    if points:
        made.append(Points(tuple(points)))
    return tuple(made)


def write(data: Dataset, path: Path | str) -> Written:
    """A folder: images/ and annotations/instances_<split>.json, instances.json for photos of no split.

    Masks are outlined. Raises UsageError where something is there already, DataError for photos that can not be read.
    """
    if Path(path).suffix.lower() == ".json":
        raise UsageError(f"{path}: coco writes a folder, with annotations/ and images/; name a folder")
    same_source(data, "coco")
    folder = empty_folder(path)
    notes = left_out(data, HOLDS, "coco")
    names = file_names(data, notes)
    images = folder / "images"
    files = {p.name: place_photo(p, images / names[p.name], notes).relative_to(images) for p in data.photos}
    classes = data.classes
    # Many readers of COCO take 0 for "nothing".
    shift = int(any(i == 0 and n != classes.background for i, n in zip(classes.file_ids, classes.names, strict=True)))
    clicked = any(labels_of(p, Points) for p in data.photos)
    keypoints: dict[str, Any] = {"keypoints": ["point"], "skeleton": []} if clicked else {}
    for stem, photos in parts_of(data, "instances", notes).items():
        used = set(classes.foreground)
        write_lists(
            folder / "annotations" / f"{stem}.json",
            images=images_of(photos, files),
            annotations=annotations_of(photos, shift, notes, used),
            # Asked for last: what was clicked is known when the annotations are written, background among it.
            categories=(c | keypoints for c in categories_of(classes, (n for n in classes.names if n in used), shift)),
        )
    return Written(folder, notes.lines())
