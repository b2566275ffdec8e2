"""What is known of one photo beyond its file, and what that makes of its labels under the classes of today."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..classes import Classes, Vocabulary
from ..formats.dataset import Photo
from ..labels import kind_name
from .class_names import ClassNames
from .marks import Mark, marks_of, renamed
from .newest import Promises, labels_of

UNKNOWN = (10**9, 10**9)
"""The size of a photo that can not be read: its marks are cut nowhere."""


@dataclass
class State:
    """photo, size: as it was opened, (height, width) in pixels. version: how many changes it has had.

    marks: id -> mark. removed: id -> (mark, version that removed it). answers: class -> "all" or "some".
    touched: was anything changed since it was opened?
    """

    photo: Photo
    size: tuple[int, int]
    marks: dict[str, Mark]
    removed: dict[str, tuple[Mark, int]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    checked: bool = False
    version: int = 0
    touched: bool = False

    @classmethod
    def of(cls, photo: Photo, size: tuple[int, int] | str) -> State:
        """A photo as it was opened, older than every change. size: or why nobody knows it."""
        marks = marks_of(photo.labels)
        older = (replace(mark, order=k - len(marks)) for k, mark in enumerate(marks))
        return cls(photo, UNKNOWN if isinstance(size, str) else size, {m.id: m for m in older})

    def photo_now(self, names: ClassNames, opened: Classes) -> Photo:
        """The photo with its labels as of now. opened: the classes that the project was opened with."""
        vocabulary = self._vocabulary(names, opened)
        photo = replace(self.photo, vocabulary=vocabulary)
        if not self.touched and names.keeps_first:
            return photo
        return replace(photo, labels=labels_of(self.marks.values(), vocabulary, self._promises(names)))

    def marks_now(self, names: ClassNames) -> list[Mark]:
        """The oldest first, without those of removed classes."""
        shown = [m for m in self.marks.values() if names.meaning.get(m.name) != frozenset()]
        return sorted(shown, key=lambda m: m.order)

    def answers_now(self, names: ClassNames) -> dict[str, str]:
        """As they were given, or promised by the opened file: that every object has its box or outline."""
        promises = self._promises(names)
        in_file = dict.fromkeys(promises.boxed | promises.outlined, "all")
        return {n: a for n, a in (in_file | dict(promises.answers)).items() if n in names.now.foreground}

    def standing(self, names: ClassNames) -> str:
        """ "checked", "complete", "labelled" or "untouched"."""
        if self.checked:
            return "checked"
        answers, marks = self.answers_now(names), self.marks_now(names)
        absent = {m.name for m in marks if m.kind == "tag" and m.negative}
        answered = all(answers.get(n) == "all" or n in absent for n in names.now.foreground)
        if any(m.kind == "mask" for m in marks) or (answered and names.now.foreground):
            return "complete"
        return "labelled" if marks or answers else "untouched"

    def rename(self, name: str, to: str) -> None:
        """A class has another name."""
        self._rename_marks(name, to, in_file=True)
        if (answer := self.answers.pop(name, None)) is not None:
            self.answers[to] = answer

    def merge(self, name: str, to: str) -> None:
        """A class became another: all of that are marked only if all of both are."""
        self._rename_marks(name, to, in_file=False)
        said = {self.answers.pop(name, None), self.answers.pop(to, None)}
        if said == {"all"} or "some" in said:
            self.answers[to] = "some" if "some" in said else "all"

    def _rename_marks(self, name: str, to: str, in_file: bool) -> None:
        self.marks = {i: renamed(mark, name, to, in_file) for i, mark in self.marks.items()}
        self.removed = {i: (renamed(mark, name, to, in_file), v) for i, (mark, v) in self.removed.items()}

    def _vocabulary(self, names: ClassNames, opened: Classes) -> Vocabulary:
        """How the labels read today; the classes themselves where that says the same."""
        has_masks = any(m.kind in ("mask", "shares") for m in self.marks.values())
        plain = not has_masks and self.photo.vocabulary == Vocabulary.same(opened)
        used = {m.name for m in self.marks.values()} | set(self.answers)
        if plain and used <= {*names.now.names, *names.now.groups}:
            return names.same
        return names.vocabulary(self.photo.vocabulary, opened, has_masks)

    def _promises(self, names: ClassNames) -> Promises:
        """Those of the opened file less the classes of which a mark of the file was taken away since."""
        gone = {m.name for m, _ in self.removed.values() if m.made == "file"}
        kinds: dict[str, frozenset[str]] = {}
        seconds: dict[str, float] = {}
        for label in self.photo.labels:
            kind = kind_name(label)
            kinds[kind] = kinds.get(kind, frozenset()) | getattr(label, "complete", frozenset())
            if label.seconds is not None:
                seconds[kind] = seconds.get(kind, 0.0) + label.seconds
        kept = {kind: names.promised(of_kind) - gone for kind, of_kind in kinds.items()}
        boxed, outlined = (kept.pop(kind, frozenset()) for kind in ("boxes", "regions"))
        answers = {n: self.answers[t] for n, meant in names.meaning.items() for t in meant if t in self.answers}
        return Promises(answers, frozenset().union(*kept.values()), boxed, outlined, seconds)
