"""What a pixel can be: names, colours, background, void.

Void, background and class are three different things, and this is the one place that
names them. A class is an index 0..C-1. Background, where a data set has one, is a class
like any other. Void is not a class and has no index: it is the absence of a statement.
Numbers such as 255 are *file ids* and exist only in files.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .errors import UsageError, did_you_mean

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Classes:
    """The classes of a data set, in the order of their scores.

    names: C distinct names; the index of a name is the index of its score channel.
    colours: C RGB colours, 0..255, made from the order where none are given.
    background: the name that means "none of the others", or None (CamVid has none).
    file_ids: C distinct ids, 0..65535, that stand for the classes in mask files.
    void_ids: ids in mask files that state nothing (VOC: 255, CamVid: 11).
    groups: hierarchy, a coarse name -> its member names ("animal" -> cat, dog).

    Raises UsageError for repeated names or ids, and for unknown members or background.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...] = ()
    background: str | None = None
    file_ids: tuple[int, ...] = ()
    void_ids: frozenset[int] = frozenset({255})
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = tuple(self.names)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "colours", tuple(map(tuple, self.colours)) or distinct_colours(len(names)))
        object.__setattr__(self, "file_ids", tuple(self.file_ids) or tuple(range(len(names))))
        object.__setattr__(self, "void_ids", frozenset(self.void_ids) - set(self.file_ids))
        if not names or len(set(names)) != len(names):
            raise UsageError(f"class names must be distinct and at least one, got {list(names)}")
        if not (len(names) == len(self.colours) == len(self.file_ids) == len(set(self.file_ids))):
            raise UsageError(
                f"{len(names)} names need as many colours ({len(self.colours)}) "
                f"and distinct file ids ({len(set(self.file_ids))})"
            )
        if self.background is not None and self.background not in names:
            raise UsageError(f"background {self.background!r} is not a class{did_you_mean(self.background, names)}")
        for group, members in self.groups.items():
            if group in names or not members or not set(members) <= set(names):
                raise UsageError(
                    f"group {group!r} needs a name of its own and members among the classes, got {members}"
                )

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of one class; UsageError with the nearest name where there is none."""
        try:
            return self.names.index(name)
        except ValueError:
            raise UsageError(f"unknown class {name!r}{did_you_mean(name, self.names)}") from None

    def members(self, name: str) -> frozenset[str]:
        """The classes a name can mean: itself, or the members of a group."""
        if name in self.groups:
            return frozenset(self.groups[name])
        return frozenset({self.names[self.index(name)]})

    @property
    def void_id(self) -> int:
        """The id written for void pixels: the data set's own, else the largest free one of 8 bits, else of 16."""
        taken = set(self.file_ids)
        free = (i for i in (*range(255, -1, -1), *range(256, 65536)) if i not in taken)
        return min(self.void_ids) if self.void_ids else next(free)

    def with_void_id(self) -> Classes:
        """The same classes, with an id for void where they have none."""
        return self if self.void_ids else replace(self, void_ids=frozenset({self.void_id}))

    @property
    def foreground(self) -> tuple[str, ...]:
        """All names but background."""
        return tuple(n for n in self.names if n != self.background)

    def to_json(self) -> dict:
        return {
            "names": list(self.names),
            "colours": [list(c) for c in self.colours],
            "background": self.background,
            "file_ids": list(self.file_ids),
            "void_ids": sorted(self.void_ids),
            "groups": {k: list(v) for k, v in self.groups.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping) -> Classes:
        return cls(
            names=tuple(value["names"]),
            colours=tuple(tuple(c) for c in value.get("colours", ())),
            background=value.get("background"),
            file_ids=tuple(value.get("file_ids", ())),
            void_ids=frozenset(value.get("void_ids", {255})),
            groups={k: tuple(v) for k, v in value.get("groups", {}).items()},
        )


def distinct_colours(count: int) -> tuple[Colour, ...]:
    """`count` colours that differ from their neighbours: hues a golden angle apart, in three brightnesses."""
    colours = []
    for i in range(count):
        r, g, b = colorsys.hsv_to_rgb(i * 0.618034 % 1.0, 0.85 - 0.25 * (i // 3 % 2), 0.95 - 0.2 * (i % 3))
        colours.append((round(r * 255), round(g * 255), round(b * 255)))
    return tuple(colours)


@dataclass(frozen=True)
class Vocabulary:
    """What the names of one source say in the classes of the data set that now holds it.

    A source is the folder or file that labels came from; its annotators knew `source` and
    nothing else. After choosing, merging or joining classes, `target` is what the network
    learns. `sets[name]` is what a source name allows, as target names; the empty set is void.
    A source that lacks a target class may have called it background, so there its
    background means "background or one of the classes I do not know".
    """

    source: Classes
    target: Classes
    sets: Mapping[str, frozenset[str]]

    def __hash__(self) -> int:
        return hash((self.source.names, self.target.names))

    @classmethod
    def same(cls, classes: Classes) -> Vocabulary:
        return cls(classes, classes, {n: frozenset({n}) for n in classes.names})

    def meaning(self, name: str) -> frozenset[str]:
        """Target names that a source name (or group) allows; empty = void, no statement.

        A group with a void member states nothing, since the pixel may be that member.
        """
        parts = [self.sets[member] for member in self.source.members(name)]
        return frozenset().union(*parts) if all(parts) else frozenset()

    def ruled_out(self, names: Iterable[str]) -> frozenset[str]:
        """Target names that a pixel can not be if it is none of these source names (or groups).

        After a merge "not a bus" does not rule out "vehicle", since a car is one too.
        """
        said = frozenset().union(*(self.source.members(n) for n in names))
        out = set()
        for target in self.target.names:
            meant_by = [n for n, allowed in self.sets.items() if target in allowed]
            if meant_by and said.issuperset(meant_by):
                out.add(target)
        return frozenset(out)

    def complete(self, names: Iterable[str]) -> frozenset[str]:
        """Target names about which a promise "all of these source names are marked" still holds.

        A target class keeps the promise if every source name that may mean it is promised; one
        that the source called background, or never knew, has no promise. Nobody marks background.
        """
        return self.ruled_out(frozenset().union(*(self.source.members(n) for n in names)) - {self.source.background})


def join(first: Classes, second: Classes) -> Classes:
    """The union of two class lists: names of `first`, then what only `second` has.

    File ids follow `first`; a new class keeps its own id where that is free. Backgrounds
    are one class even where they are called differently (the name of `first` stays).
    """
    renamed = {second.background: first.background} if first.background and second.background else {}
    names = list(first.names)
    colours, ids = list(first.colours), list(first.file_ids)
    for name, colour, file_id in zip(second.names, second.colours, second.file_ids, strict=True):
        name = renamed.get(name, name)
        if name in names:
            continue
        blocked = set(ids) | first.void_ids | second.void_ids
        names.append(name)
        colours.append(colour)
        ids.append(file_id if file_id not in blocked else next(i for i in range(65536) if i not in blocked))
    groups = {g: tuple(renamed.get(m, m) for m in members) for g, members in second.groups.items()} | dict(first.groups)
    return Classes(
        names=tuple(names),
        colours=tuple(colours),
        background=first.background or second.background,
        file_ids=tuple(ids),
        void_ids=first.void_ids | second.void_ids,
        groups={k: v for k, v in groups.items() if k not in names},
    )


def widen(vocabulary: Vocabulary, target: Classes) -> Vocabulary:
    """The same source read in a larger class list: its background may be any class it does not know.

    A name that `target` lacks can only be the source's background under another name.
    """
    background = vocabulary.target.background
    known = {n for allowed in vocabulary.sets.values() for n in allowed}
    # A class that was chosen away is still one that the source tells from its background.
    known |= {n for n, allowed in vocabulary.sets.items() if background not in allowed}
    unknown = frozenset(target.names) - known - {target.background}

    def carried(name: str, allowed: frozenset[str]) -> frozenset[str]:
        kept = frozenset(a if a in target.names else target.background or a for a in allowed)
        return kept | unknown if background is not None and background in allowed else kept

    return Vocabulary(vocabulary.source, target, {n: carried(n, s) for n, s in vocabulary.sets.items()})


def choose(
    classes: Classes,
    keep: Sequence[str] | None = None,
    others: str = "void",
    merge: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Classes, dict[str, frozenset[str]]]:
    """Choose and merge classes: the new list, and for each old name the new names it means (empty = void).

    keep: names to keep (after merging), None = all. Background is always kept.
    others: "void" (their pixels state nothing) or "background" (they are background).
    merge: new name -> old names that become it ("vehicle" -> bus, car); file id and colour
        are those of the first.
    """
    if others not in ("void", "background"):
        raise UsageError(f"--others takes 'void' or 'background', got {others!r}")
    if others == "background" and classes.background is None:
        raise UsageError("--others background needs a background class, and this data set has none: use --others void")
    new_name = {n: n for n in classes.names}
    for merged, parts in (merge or {}).items():
        for part in parts:
            new_name[classes.names[classes.index(part)]] = merged
    available = list(dict.fromkeys(new_name.values()))
    kept = set(available if keep is None else keep) | ({classes.background} if classes.background else set())
    for name in kept:
        if name not in available:
            raise UsageError(f"unknown class {name!r}{did_you_mean(name, available)}")
    names = tuple(n for n in available if n in kept)
    groups = {g: tuple(dict.fromkeys(new_name[m] for m in members)) for g, members in classes.groups.items()}
    first_old = {n: next(o for o in classes.names if new_name[o] == n) for n in names}
    chosen = Classes(
        names=names,
        colours=tuple(classes.colours[classes.index(first_old[n])] for n in names),
        background=classes.background,
        file_ids=tuple(classes.file_ids[classes.index(first_old[n])] for n in names),
        void_ids=classes.void_ids or frozenset({classes.void_id}),
        groups={g: members for g, members in groups.items() if g not in kept and kept.issuperset(members)},
    )
    left_out = frozenset({classes.background}) if others == "background" and classes.background else frozenset()
    meaning = {o: frozenset({new_name[o]}) if new_name[o] in kept else left_out for o in classes.names}
    return chosen, meaning
