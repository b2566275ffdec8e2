"""Labels that another tool drew: on which picture, and which photo is meant.

Annotation files name photos as their authors' machines did: by Windows paths, URLs, paths from the root. A name is only
ever looked up among the image files below a folder, so that no such text can lead out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from ..errors import DataError
from ..labels import Label, Mask
from ..labels.geometry import moved
from .image import image_orientation, image_size
from .listing import files_by_name, has_images
from .notes import Notes


def photos_near(file: Path) -> Path:
    """Where the photos of an annotation file are looked for: its own folder if that holds any, else the one above.

    So `annotations/instances.json` finds the photos of `images/` beside `annotations/`.
    """
    return file.parent if has_images(file.parent) or not has_images(file.parent.parent) else file.parent.parent


@dataclass(frozen=True)
class PhotoFiles:
    """The image files below a folder. by_path: path below it with '/' and suffix -> file."""

    folder: Path
    by_path: dict[str, Path] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _last: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def below(cls, folder: Path) -> PhotoFiles:
        made = cls(folder)
        for name, files in files_by_name(folder).items():
            for file in files:
                path = file.relative_to(folder).as_posix()
                made.by_path[path] = file
                made._names[path] = name if len(files) == 1 else path
                made._last[file.name] = None if file.name in made._last else path
        return made

    def find(self, text: str) -> tuple[str, Path] | None:
        """(the photo's name in the data set, its file) for what a foreign file calls it; None: none fits, or several.

        The longest end of the text that is a path here wins: "/data/b/1.jpg" is `b/1.jpg` before `1.jpg`. A bare name
        may also be that of the one file so called in any folder.
        """
        for version in dict.fromkeys((text, unquote(text))):
            parts = [p for p in version.split("?")[0].replace("\\", "/").split("/") if p not in ("", ".", "..")]
            for start in range(len(parts)):
                if (path := "/".join(parts[start:])) in self.by_path:
                    return self._names[path], self.by_path[path]
            if parts and (path := self._last.get(parts[-1]) or ""):
                return self._names[path], self.by_path[path]
        return None


def on_upright(
    labels: Sequence[Label], image: Path, size: tuple[int, int] | None, notes: Notes, where: str
) -> tuple[Label, ...]:
    """Labels drawn on a picture of `size` (height, width), as labels of the upright photo.

    A tool that does not know EXIF draws on the photo as it is stored; its coordinates are turned with the photo. Where
    the sizes fit neither way the labels are left out, with a note. size None (the file does not say) and a photo that
    can not be read leave them as they are: readers and `check` report it.
    """
    try:
        upright = image_size(image)
        orientation = image_orientation(image)
    except DataError:
        return tuple(labels)
    if size is None or size == upright:
        return tuple(labels)
    if orientation > 4 and size == upright[::-1]:
        if any(isinstance(x, Mask) for x in labels):
            notes.add("masks drawn on a photo that EXIF turns are left out: turn them, or the photo", where)
        turned = moved([x for x in labels if not isinstance(x, Mask)], _turn(orientation, *size), *upright)
        notes.add("labels were drawn without the photo's EXIF rotation: they are turned with it", where)
        return turned
    notes.add(
        "labels drawn on a picture of another size than the photo are left out: put the original photo there", where
    )
    return ()


def _turn(orientation: int, height: int, width: int) -> np.ndarray:
    """matrix_23 from a stored picture of height x width to the upright one, orientations 5..8 (EXIF 2.3, tag 274)."""
    x_from_y = (1.0, 0.0) if orientation in (5, 8) else (-1.0, float(height))
    y_from_x = (1.0, 0.0) if orientation in (5, 6) else (-1.0, float(width))
    return np.array([[0, x_from_y[0], x_from_y[1]], [y_from_x[0], 0, y_from_x[1]]])
