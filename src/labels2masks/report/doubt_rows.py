"""A doubt in words and numbers: what a person reads, and what the files of a review hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..classes import Classes
from ..evaluation.label_quality import Doubt
from ..formats.dataset import Photo


@dataclass(frozen=True)
class Found:
    """A doubt and its photo. size: (height, width). confident: see `SelfConfidence`."""

    photo: Photo
    size: tuple[int, int]
    doubt: Doubt
    confident: bool = False


def rows(found: Sequence[Found], classes: Classes) -> list[dict[str, Any]]:
    """One dictionary a doubt, as the files and the saved decisions have it. Corners are in pixels of the photo."""
    made = []
    for place, f in enumerate(found, 1):
        (height, width), d = f.size, f.doubt
        x0, y0, x1, y1 = d.corners
        made.append(
            {
                "place": place,
                "photo": f.photo.name,
                "what": d.what,
                "label": label_words(d, classes),
                "model": classes.names[d.seen] if d.seen >= 0 else "",
                "label_probability": round(d.given_probability, 4),
                "model_probability": round(d.seen_probability, 4),
                "doubt": round(d.doubt, 4),
                "confident": f.confident,
                "x0": round(x0 * width),
                "y0": round(y0 * height),
                "x1": round(x1 * width),
                "y1": round(y1 * height),
                "reason": reason(f, classes),
            }
        )
    return made


def label_words(doubt: Doubt, classes: Classes) -> str:
    """What the label says: a class, "a or b", or what it rules out where that is shorter."""
    given = [classes.names[c] for c in sorted(doubt.given)]
    ruled_out = [n for n in classes.names if n not in given]
    if len(given) > 1 and len(ruled_out) < len(given):
        return "not " + ", not ".join(ruled_out)
    return " or ".join(given)


def reason(found: Found, classes: Classes) -> str:
    """Why the label is doubted, as a sentence."""
    d = found.doubt
    given, seen = label_words(d, classes), classes.names[d.seen] if d.seen >= 0 else ""
    own, other = f"{d.given_probability:.2f}", f"{d.seen_probability:.2f}"
    if d.what == "place":
        height, width = found.size
        dx, dy = round(d.move[0] * width), round(d.move[1] * height)
        across = f"{abs(dx)} px to the {'right' if dx > 0 else 'left'}" if dx else ""
        along = f"{abs(dy)} px {'down' if dy > 0 else 'up'}" if dy else ""
        return f"labelled {given}, fits better {' and '.join(filter(None, (across, along)))}: {other} there, {own} here"
    said = {
        "class": f"labelled {given}, the model says {seen} with {other} and {given} with {own}",
        "left out": f"labelled {given}, the model sees {seen} here with {other}",
        "mark": f"a click or stroke says {given}, the model says {seen} with {other} and {given} with {own}",
        "box": f"boxed as {given}, the model sees little of it in the box ({own}) and most of {seen} ({other})",
        "tag": f"said to be in the photo: {given}; the model sees it nowhere ({own} at best)",
        "share": f"the share of {given} is given as {own}, the model sees {other}",
    }
    return said[d.what]


def review_text(result: Mapping[str, Any]) -> str:
    """What a review found, as plain text for a terminal."""
    lines = [f"{result['photos']} photos reviewed, {result['doubts']} labels in doubt"]
    lines += [f"  {count} photos predicted by {who}" for who, count in result["predicted_by"].items()]
    lines += [f"  {place}. {row['photo']}: {row['reason']}" for place, row in enumerate(result["first"], 1)]
    if result["skipped"]:
        first = result["skipped"][0]
        lines.append(f"left out: {len(result['skipped'])} photos, the first {first['photo']}: {first['reason']}")
    return "\n".join([*lines, f"go through {result['page']}"])
