"""Writing CVAT's XML for images; what it says is at the head of `cvat`.

Legend: H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from ..classes import Classes
from ..files import write_atomically
from ..labels.outlines import run_lengths
from ..progress import track
from .dataset import Dataset
from .drawable import classes_left_out, is_settled, listed_names, marks_of, nothing_anywhere, pixels
from .marks import Marks
from .notes import Notes
from .shapes import as_turned
from .written import Written, empty_folder, file_names, left_out, place_photo, same_source

HOLDS = frozenset({"tags", "points", "scribbles", "boxes", "regions"})


def write(data: Dataset, path: Path | str) -> Written:
    """A folder with images/ and annotations.xml, which CVAT imports as "CVAT 1.1".

    An outline with holes, or of several parts, is a mask, in whole pixels. An image is in one subset, its first split.
    Raises UsageError where the folder is there already, and for classes that were chosen, merged or joined; DataError
    for photos and masks that can not be read.
    """
    same_source(data, "CVAT")
    folder = empty_folder(path)
    notes = left_out(data, HOLDS | {"mask"}, "CVAT")
    classes_left_out(data, notes, "CVAT", colours=True)
    nothing_anywhere(data, notes, "CVAT")
    stems, subset_of = file_names(data, notes), _subsets(data, notes)

    def images() -> Iterator[str]:
        for number, photo in enumerate(track(data.photos, "writing CVAT")):
            image = place_photo(photo, folder / "images" / stems[photo.name], notes)
            marks = marks_of(photo, HOLDS, notes, "CVAT", void=True, absent=False)
            for box in [box for box in marks.boxes if as_turned(box) is None]:
                marks.leave_out(box.name, "boxes without right angles, which CVAT has no place for")
                marks.boxes.remove(box)
            if is_settled(photo, marks, notes, "CVAT"):
                named = {"id": str(number), "name": image.relative_to(folder / "images").as_posix()}
                subset = {"subset": subset_of[photo.name]} if photo.name in subset_of else {}
                size = {"width": str(marks.width), "height": str(marks.height)}
                yield f"  <image{_attributes(named | subset | size)}>\n"
                yield from (f"    {shape}\n" for shape in _shapes(marks, listed_names(data.classes)))
                yield "  </image>\n"
            elif photo.name in subset_of:
                notes.add("splits of photos without labels, which CVAT has no place for", f"photo {photo.name!r}")

    def document() -> Iterator[str]:
        yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        yield f"  <meta>\n    <task>\n      <size>{len(data)}</size>\n      <mode>annotation</mode>\n"
        yield f"      <labels>\n{_labels(data.classes)}      </labels>\n    </task>\n  </meta>\n"
        yield from images()
        yield "</annotations>\n"

    write_atomically(folder / "annotations.xml", lambda file: file.writelines(part.encode() for part in document()))
    return Written(folder, notes.lines())


def _subsets(data: Dataset, notes: Notes) -> dict[str, str]:
    """Photo -> its first split."""
    subset_of: dict[str, str] = {}
    for split, names in data.splits.items():
        if split == "default":
            notes.add("a split named 'default', which to CVAT means none", f"split {split!r}")
            continue
        for name in names:
            if subset_of.setdefault(name, split) != split:
                notes.add("that an image is in several splits, which CVAT has no place for", f"photo {name!r}")
    return subset_of


def _labels(classes: Classes) -> str:
    colours = dict(zip(classes.names, classes.colours, strict=True))
    named = [(shown, "#{:02x}{:02x}{:02x}".format(*colours[name])) for name, shown in listed_names(classes).items()]
    inside = (f"<name>{escape(n)}</name><color>{c}</color><type>any</type><attributes></attributes>" for n, c in named)
    return "".join(f"        <label>{label}</label>\n" for label in inside)


def _shapes(marks: Marks, name_of: Mapping[str, str]) -> Iterator[str]:
    def shape(tag: str, name: str, z_order: int = 0, **attributes: object) -> str:
        named = {"label": name_of.get(name, name), "source": "manual", "occluded": "0"}
        placed = {key: str(value) for key, value in attributes.items()}
        return f"<{tag}{_attributes(named | placed | {'z_order': str(z_order)})}></{tag}>"

    for name in sorted(marks.present):
        yield f"<tag{_attributes({'label': name_of[name], 'source': 'manual'})}></tag>"
    for box in marks.boxes:
        if box.is_upright:
            x0, y0, x1, y1 = box.bounds
            yield shape("box", box.name, xtl=x0, ytl=y0, xbr=x1, ybr=y1)
        elif (as_upright := as_turned(box)) is not None:
            x0, y0, x1, y1, degrees = as_upright
            yield shape("box", box.name, xtl=x0, ytl=y0, xbr=x1, ybr=y1, rotation=degrees)
    for z, region in enumerate(marks.regions):
        if len(region.polygons) == 1 and len(region.polygons[0]) == 1:
            yield shape("polygon", region.name, z, points=_points(region.polygons[0][0]))
        else:
            piece_HW, left, top = pixels(region, marks.height, marks.width)
            height, width = piece_HW.shape
            runs = ", ".join(map(str, run_lengths(piece_HW.T)))
            yield shape("mask", region.name, z, rle=runs, left=left, top=top, width=width, height=height)
    for point in marks.points:
        yield shape("points", point.name, points=_points(((point.x, point.y),)))
    for stroke in marks.strokes:
        yield shape("polyline", stroke.name, points=_points(stroke.xy if len(stroke.xy) > 1 else stroke.xy * 2))


def _points(xy: Iterable[Iterable[float]]) -> str:
    """Numbers as the shortest decimals that are the same again: 12.34, not 12.34000015258789."""
    return ";".join(",".join(map(str, vertex)) for vertex in xy)


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(f" {key}={quoteattr(value)}" for key, value in values.items())
