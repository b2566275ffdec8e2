"""A folder of photos as the page has it: what was opened, and every change since (see `journal`), under one lock.

What is opened is a plain folder of photos or any data set that `labels2masks.open` reads; the page writes beside it one
`labels.jsonl`, which everything else opens from then on, and never touches a file of another format.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..classes import Classes
from ..errors import DataError, UsageError
from ..files import LOCK
from ..formats.dataset import Dataset, Photo
from ..formats.label_json import Field
from .class_names import ClassNames
from .journal import BASE, FOLDER, JOURNAL, Journal, held
from .label_file import LabelFile, opened
from .marks import Mark, mark_from_json
from .photos import Decoder, ShownPhoto
from .state import State

ANSWERS = ("all", "some")
MOST_AT_ONCE = 2_000
"""Marks in one change."""


class Conflict(Exception):
    """A change that rests on what another window has changed since. Holds the photo's index."""

    def __init__(self, i: int):
        super().__init__("this photo was changed in another window; what is there now is shown")
        self.i = i


class Project:
    """photos: those that can be shown, in a fixed order; `photo(i)` has the labels as of now.

    folder: every file that is read lies in it. private: what the page keeps for itself. notes: for the person.
    lock: held while anything is read or changed; a thread that needs several answers to fit together may hold it, too.
    Raises DataError and UsageError as `labels2masks.open` does, and UsageError where another process has it open.
    """

    def __init__(self, path: Path | str, classes: Sequence[str] = (), decoder: Decoder | None = None):
        path = Path(path).expanduser()
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        self.folder = (path if path.is_dir() else path.parent).resolve()
        self.private = self.folder / FOLDER
        self.lock = threading.RLock()
        self._close = ExitStack()
        self.decoder = decoder or self._close.enter_context(closing(Decoder()))
        self._masks = self._close.enter_context(closing(Decoder()))  # nobody waits for a photo behind all the masks
        try:
            _refuse_links(self.private, self.folder / "exports")
            self.private.mkdir(exist_ok=True)
            self._close.enter_context(held(self.private))
            self._open(path, classes)
        except BaseException:
            self._close.close()
            if not (self.private / BASE).exists():  # nothing was opened, so nothing of ours stays
                with suppress(OSError):
                    (self.private / LOCK).unlink(missing_ok=True)
                    self.private.rmdir()
            raise

    def _open(self, path: Path, classes: Sequence[str]) -> None:
        self.file = LabelFile(path if path.suffix == ".jsonl" else self.folder / "labels.jsonl", self.private)
        self.base, self.notes = opened(path, self.file, self.decoder)
        self.names = ClassNames.of(self.base.classes)
        self._order = 0
        self._made: dict[int, tuple[int, ClassNames, Photo]] = {}
        sizes: list[tuple[int, int] | str] = [self._leads_out(p) for p in self.base.photos]
        inside = [k for k, reason in enumerate(sizes) if not reason]
        for k, size in zip(inside, self.decoder.sizes([self.base.photos[k].image for k in inside]), strict=True):
            sizes[k] = size
        self._all = [State.of(p, size) for p, size in zip(self.base.photos, sizes, strict=True)]
        self.notes += [size for size in sizes if isinstance(size, str)]
        self.states = [s for s, size in zip(self._all, sizes, strict=True) if not isinstance(size, str)]
        if not self.states:
            raise DataError(
                f"{path}: no photo that can be shown" + (f"; the first: {self.notes[0]}" if self.notes else "")
            )
        self._by_name = {s.photo.name: s for s in self._all}
        self._journal = Journal(self.private / JOURNAL)
        self._close.callback(self._journal.close)
        self.notes += [self._journal.note] if self._journal.note else []
        for number, change in enumerate(self._journal.changes, 1):
            self._apply(Field(change, f"{self._journal.path}, line {number}"))
        self._journal.changes.clear()
        self._close.callback(self.file.close)
        self.file.start(self.dataset)
        for name in classes:
            if name not in self.names.now.names:
                self.change_class("add", name)

    def _leads_out(self, photo: Photo) -> str:
        """Why a photo is not looked at, "" where it is; its labels stay in the label file in any case."""
        used = [photo.image, *(p for x in photo.labels if (p := getattr(x, "path", None)) is not None)]
        outside = next((p for p in used if not p.resolve().is_relative_to(self.folder)), None)
        if outside is None:
            return ""
        return f"{outside} leads out of {self.folder}: photos and masks are read inside the folder only"

    def __len__(self) -> int:
        return len(self.states)

    @property
    def classes(self) -> Classes:
        return self.names.now

    @property
    def photos(self) -> Sequence[Photo]:
        """All photos with their labels as of now, made when they are looked at."""
        return _Photos(self)

    def photo(self, i: int) -> Photo:
        """Photo i with its labels as of now: marks of the page, and what was opened, the newest on top."""
        photo = self._photo(self.states[i])
        return ShownPhoto(photo.name, photo.image, photo.labels, photo.vocabulary, photo.levels, self._masks)

    def _photo(self, state: State) -> Photo:
        with self.lock:
            version, names, photo = self._made.get(id(state), (-1, None, None))
            if photo is None or version != state.version or names is not self.names:
                photo = state.photo_now(self.names, self.base.classes)
                self._made[id(state)] = state.version, self.names, photo
            return photo

    def answers(self, i: int) -> dict[str, str]:
        """class -> "all" or "some", as it was answered here or promised by the opened file."""
        with self.lock:
            return self.states[i].answers_now(self.names)

    def marks(self, i: int) -> list[Mark]:
        """The marks of photo i, the oldest first, without those of removed classes."""
        with self.lock:
            return self.states[i].marks_now(self.names)

    def state(self, i: int) -> str:
        """ "checked", "complete", "labelled" or "untouched"."""
        with self.lock:
            return self.states[i].standing(self.names)

    def checked(self, i: int) -> bool:
        return self.states[i].checked

    def version(self, i: int) -> int:
        return self.states[i].version

    def size(self, i: int) -> tuple[int, int]:
        """(height, width) of photo i."""
        return self.states[i].size

    def pixels(self, i: int, longest: int | None = None) -> np.ndarray:
        """uint8 HW3 RGB upright, decoded in a process with limits. Raises DataError."""
        photo = self.states[i].photo
        return self.decoder.pixels(self.image(i), longest, photo.levels)

    def image(self, i: int) -> Path:
        """The file of photo i, looked at anew: it may have become a link since. Raises DataError."""
        path = self.states[i].photo.image
        if not path.resolve().is_relative_to(self.folder):
            raise DataError(f"{path} leads out of {self.folder}")
        return path

    def dataset(self) -> Dataset:
        """Everything as of now, the photos that can not be shown with it."""
        with self.lock:
            photos = tuple(map(self._photo, self._all))
            return replace(self.base, classes=self.names.now, photos=photos, root=self.folder, notes=())

    # Changes: checked, written to the journal, then made; a replayed one takes the same way without the journal.

    def change_marks(self, i: int, base: int, add: Field | None, remove: Iterable[str]) -> int:
        """Add and remove marks of photo i; returns its version. A mark that is there is not added twice.

        base: the version that the change rests on. Raises Conflict where it takes back what somebody else did since,
        or removes what never was, DataError for what is no mark.
        """
        with self.lock:
            state = self.states[i]
            new: list[Mark] = []
            back: list[str] = []
            for item in add.items() if add is not None else ():
                mark_id = item.at("id").text()
                if mark_id in state.removed:  # taken back, as it was
                    if state.removed[mark_id][1] > base:
                        raise Conflict(i)
                    back.append(mark_id)
                    continue
                there = state.marks.get(mark_id)
                if there is not None and there.made == "file":
                    continue
                mark = self._drawn(item, state)
                if there is None:
                    new.append(replace(mark, order=self._order + len(new) + 1))
                elif _said(there) != _said(mark):
                    raise Conflict(i)
            gone = []
            for mark_id in remove:
                if mark_id not in state.marks and mark_id not in state.removed:
                    raise Conflict(i)
                gone += [mark_id] if mark_id in state.marks else []
            if len(new) + len(back) > MOST_AT_ONCE:
                raise UsageError(f"more than {MOST_AT_ONCE} marks at once; send them in parts")
            if new or back or gone:
                marks = [m.to_json() for m in new]
                self._do({"photo": state.photo.name, "add": marks, "back": back, "remove": gone})
            return state.version

    def answer(self, i: int, name: str, value: str | None) -> int:
        """Say whether every object of a class is marked in photo i: "all", "some", or None to take the answer back."""
        with self.lock:
            if name not in self.names.now.foreground:
                raise UsageError(f"no class {name!r} to answer for")
            if value is not None and value not in ANSWERS:
                raise UsageError(f"an answer is 'all', 'some' or nothing, got {value!r}")
            if self.states[i].answers.get(name) != value:
                self._do({"photo": self.states[i].photo.name, "answer": name, "value": value})
            return self.states[i].version

    def check(self, i: int, value: bool) -> int:
        with self.lock:
            if self.states[i].checked != value:
                self._do({"photo": self.states[i].photo.name, "checked": value})
            return self.states[i].version

    def change_class(self, do: str, name: str, to: str | None = None, colour: str | None = None) -> None:
        """Add, rename, merge, recolour or remove a class; see `class_names`. Raises UsageError."""
        with self.lock:
            self.names.changed(do, name, to, colour)
            self._do({"class": do, "name": name, "to": to, "colour": colour})

    def flush(self) -> Path:
        """Bring the label file up to date, for whoever reads it next; returns it."""
        return self.file.now()

    def close(self) -> None:
        """Write what is still to be written, and let another process open the project."""
        self._close.close()

    def _do(self, change: Mapping[str, Any]) -> None:
        self._journal.append(change)
        self._apply(Field(change, "change"))
        self.file.soon()

    def _apply(self, change: Field) -> None:
        """Make a change that is in the journal. Raises DataError for what the page can not have written."""
        if "class" in change:
            try:
                to, colour = (change.at(k).text() if change.has_value(k) else None for k in ("to", "colour"))
                self._apply_class(change.at("class").text(), change.at("name").text(), to, colour)
            except UsageError as error:
                raise DataError(f"{change.where}: {error}") from error
            return
        state = self._by_name.get(change.at("photo").text())
        if state is None:  # the photo was taken away, and had no labels in the opened file
            return
        state.version += 1
        state.touched = True
        if "checked" in change:
            state.checked = change.at("checked").flag()
        elif "answer" in change:
            name, value = change.at("answer").text(), change.at("value").value
            state.answers.pop(name, None)
            if value in ANSWERS:
                state.answers[name] = value
        else:
            for item in change.items("add"):
                mark = replace(mark_from_json(item, state.size), order=int(item.at("order").number()))
                self._order = max(self._order, mark.order)
                state.marks[mark.id] = mark
            for back in change.items("back"):
                if (old := state.removed.pop(back.text(), None)) is not None:
                    state.marks[old[0].id] = old[0]
            for gone in change.items("remove"):
                if (mark_gone := state.marks.pop(gone.text(), None)) is not None:
                    state.removed[mark_gone.id] = mark_gone, state.version

    def _apply_class(self, do: str, name: str, to: str | None, colour: str | None) -> None:
        self.names = self.names.changed(do, name, to, colour)
        for state in self._all:
            if do == "rename" and to is not None:
                state.rename(name, to)
            elif do == "merge" and to is not None:
                state.merge(name, to)

    def _drawn(self, item: Field, state: State) -> Mark:
        mark = mark_from_json(item, state.size)
        if not any(mark.name in x for x in (self.names.now.names, self.names.now.groups)):
            raise DataError(f"{item.where}: no class {mark.name!r}; add it first")
        return mark


def _refuse_links(*folders: Path) -> None:
    """What is written there would land where a link leads, if the folder came with one. Raises DataError."""
    for folder in folders:
        link = next((p for p in (folder, *folder.rglob("*")) if p.is_symlink()), None)
        if link is not None:
            raise DataError(f"{link} is a link, which the page does not write through: remove it")


class _Photos(Sequence[Photo]):
    def __init__(self, project: Project):
        self.project = project

    def __len__(self) -> int:
        return len(self.project)

    def __getitem__(self, i: Any) -> Any:
        return [self[k] for k in range(*i.indices(len(self)))] if isinstance(i, slice) else self.project.photo(i)


def _said(mark: Mark) -> tuple[object, ...]:
    """What a person said with a mark, by which one that is sent twice is known."""
    return mark.kind, mark.name, mark.xy, mark.negative, mark.width
