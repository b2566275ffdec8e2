"""The classes of a project while they are added, renamed, merged, recoloured and removed, without a label being lost.

Every class that ever was stays `known`, with its id in mask files; `meaning` says what it is now: itself, the class
that it was merged into, or nothing once it is removed. A label file says the same with a vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..classes import Classes, Colour, Vocabulary, distinct_colours
from ..errors import UsageError, did_you_mean

OPERATIONS = ("add", "rename", "merge", "recolour", "remove")
MOST_CLASSES = 1_000
LONGEST_NAME = 100


@dataclass(frozen=True)
class ClassNames:
    """now: the classes of today. known: every class that there was. meaning: known name -> today's names, empty = none.

    first: name in the opened files -> known name, which differ after a rename.
    """

    now: Classes
    known: Classes
    meaning: Mapping[str, frozenset[str]]
    first: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, classes: Classes) -> ClassNames:
        classes = classes.with_void_id()
        return cls(classes, classes, {n: frozenset({n}) for n in classes.names}, {n: n for n in classes.names})

    def changed(self, do: str, name: str, to: str | None = None, colour: str | None = None) -> ClassNames:
        """After one operation. Raises UsageError for what can not be done, in words for the person who asked."""
        if do == "add":
            return self._added(_checked(name), colour)
        if name not in self.now.names:
            raise UsageError(f"no class {name!r}{did_you_mean(name, self.now.names)}")
        if do == "recolour":
            return replace(self, now=_recoloured(self.now, name, _colour(colour)))
        if do == "rename":
            return self._renamed(name, _checked(to))
        if name == self.now.background:
            raise UsageError(f"{name!r} is the background, which can be renamed and recoloured, not {do}d")
        if do == "merge":
            if to == name or to not in self.now.names:
                raise UsageError(f"merge {name!r} into what? {to!r} is no other class")
            return self._without(name, frozenset({to}))
        if do == "remove":
            return self._without(name, frozenset())
        raise UsageError(f"unknown operation {do!r}{did_you_mean(do, OPERATIONS)}")

    @cached_property
    def same(self) -> Vocabulary:
        """Labels in today's classes."""
        return Vocabulary.same(self.now)

    @cached_property
    def keeps_first(self) -> bool:
        """Are all classes of the opened files still what they were?"""
        return all(n == known and self.meaning[known] == {n} for n, known in self.first.items())

    def promised(self, names: frozenset[str]) -> frozenset[str]:
        """For which of today's classes a promise of an opened file holds that names `names`: all that became it."""
        known = {self.first.get(n, n) for n in names}
        parts = {t: {n for n in self.first.values() if self.meaning[n] == {t}} for t in self.now.names}
        return frozenset(known | {t for t, of in parts.items() if of}) - {
            t for t, of in parts.items() if not of <= known
        }

    def vocabulary(self, source: Vocabulary, before: Classes, has_masks: bool) -> Vocabulary:
        """How the labels of one opened photo read today.

        source: its vocabulary as it was opened. before: the classes that the project was opened with. has_masks: is
        there more than drawn marks? Who painted a whole mask knew nothing of classes that came later, so there
        background means "background or one of those".
        """
        own = source == Vocabulary.same(before)
        later = frozenset(self.now.names) - {n for b in before.names for n in self.meaning[self.first[b]]}
        sets: dict[str, frozenset[str]] = {}
        for name in source.source.names:
            parts = [self.meaning[self.first[n]] for n in source.sets[name]]
            meant = frozenset().union(*parts) if parts and all(parts) else frozenset()
            if has_masks and self.now.background in meant:
                meant |= later
            sets[self.first[name] if own else name] = meant
        base = self.known if own else _with_more(source.source, self.known)
        return Vocabulary(base, self.now, {n: self.meaning[n] for n in base.names if n not in sets} | sets)

    def _added(self, name: str, colour: str | None) -> ClassNames:
        if name in self.now.names:
            raise UsageError(f"there is a class {name!r} already")
        if name in self.known.names and self.meaning[name]:
            raise UsageError(f"{name!r} was merged into {min(self.meaning[name])!r}; choose another name")
        if len(self.known) >= MOST_CLASSES:
            raise UsageError(f"{MOST_CLASSES} classes are as many as a page can show")
        known = self.known
        if name not in known.names:  # else it is the removed class, which comes back with all that was said of it
            given = _colour(colour) if colour else _next_colour(known)
            known = _appended(known, name, _free_id(known), given)
        place = known.index(name)
        now = _appended(self.now, name, known.file_ids[place], known.colours[place])
        if colour:
            now = _recoloured(now, name, _colour(colour))
        return replace(self, now=now, known=known, meaning={**self.meaning, name: frozenset({name})})

    def _renamed(self, name: str, to: str) -> ClassNames:
        if to in self.known.names or to in self.known.groups:
            raise UsageError(f"there is, or was, a class or group {to!r}; merge into it, or choose another name")

        def one(old: str) -> str:
            return to if old == name else old

        return ClassNames(
            _renamed(self.now, name, to),
            _renamed(self.known, name, to),
            {one(n): frozenset(map(one, meant)) for n, meant in self.meaning.items()},
            {n: one(k) for n, k in self.first.items()},
        )

    def _without(self, name: str, instead: frozenset[str]) -> ClassNames:
        keep = [i for i, n in enumerate(self.now.names) if n != name]
        now = replace(
            self.now,
            names=tuple(self.now.names[i] for i in keep),
            colours=tuple(self.now.colours[i] for i in keep),
            file_ids=tuple(self.now.file_ids[i] for i in keep),
            groups={g: m for g, m in self.now.groups.items() if name not in m},
        )
        meaning = {n: instead if meant == {name} else meant for n, meant in self.meaning.items()}
        return replace(self, now=now, meaning=meaning)


def hex_colour(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _colour(text: str | None) -> Colour:
    if not text or not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise UsageError(f"a colour is #rrggbb, got {text!r}")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _checked(name: str | None) -> str:
    """A name that a person can read in one line and that every file can hold."""
    if not name or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"a class name is 1 to {LONGEST_NAME} characters on one line, got {name!r}")
    return name


def _next_colour(known: Classes) -> Colour:
    return next(c for c in distinct_colours(2 * len(known) + 2) if c not in known.colours)


def _free_id(known: Classes) -> int:
    return next(i for i in range(65536) if i not in known.file_ids and i not in known.void_ids)


def _appended(classes: Classes, name: str, file_id: int, colour: Colour) -> Classes:
    return replace(
        classes,
        names=(*classes.names, name),
        colours=(*classes.colours, colour),
        file_ids=(*classes.file_ids, file_id),
        groups={g: m for g, m in classes.groups.items() if g != name},
    )


def _recoloured(classes: Classes, name: str, colour: Colour) -> Classes:
    place = classes.index(name)
    return replace(classes, colours=(*classes.colours[:place], colour, *classes.colours[place + 1 :]))


def _renamed(classes: Classes, name: str, to: str) -> Classes:
    def one(old: str) -> str:
        return to if old == name else old

    return replace(
        classes,
        names=tuple(map(one, classes.names)),
        background=to if classes.background == name else classes.background,
        groups={g: tuple(map(one, m)) for g, m in classes.groups.items()},
    )


def _with_more(source: Classes, known: Classes) -> Classes:
    """The source with the classes that it lacks, under ids that it does not use."""
    for name, colour in zip(known.names, known.colours, strict=True):
        if name not in source.names and name not in source.groups:
            source = _appended(source, name, _free_id(source), colour)
    return source
