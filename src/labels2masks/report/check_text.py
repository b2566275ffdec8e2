"""The report of a check as plain text for a terminal."""

from __future__ import annotations

from typing import Any

IN_WORDS = frozenset({"missing", "not_scored", "few", "touching"})
"""Issues whose sentence says how many."""


def check_text(report: dict[str, Any]) -> str:
    lines = [f"{report['data'] or 'data set'}: {report['photos']} photos, read as {report['format'] or 'joined data'}"]
    if report["splits"]:
        lines.append("splits   " + ", ".join(f"{s} {n}" for s, n in report["splits"].items()))
    if report["sizes"]:
        lines.append("sizes    " + ", ".join(f"{what} {w}x{h}" for what, (h, w) in report["sizes"].items()))
    for kind, row in report["kinds"].items():
        told = "measured" if row["measured"] else "by published means"
        lines.append(
            f"{kind:8s} {row['photos']} photos, {row['marks']} marks, {brief(row['seconds'])} of labelling ({told})"
        )
    if len(report["kinds"]) > 1:
        lines.append(f"labelling in all {brief(report['seconds'])}")
    if report["void_share"]:
        lines.append(f"void     {percent(report['void_share'])} of the mask pixels")
    lines += ["", *_classes(report), ""]
    for issue in report["issues"]:
        count = f"{issue['count']} x " if issue["count"] > 1 and issue["what"] not in IN_WORDS else ""
        shown = ", ".join(issue["photos"][:5]) + (", ..." if issue["count"] > 5 and issue["photos"] else "")
        lines.append(f"{issue['level']}: {count}{issue['text']}" + (f" [{shown}]" if shown else ""))
    if not report["issues"]:
        lines.append("no problems found")
    if report["contact_sheet"]:
        lines.append(f"contact sheet: {report['contact_sheet']}")
    if report["suspicious_sheet"]:
        lines.append(f"photos to look at: {report['suspicious_sheet']}")
    return "\n".join(lines)


def _classes(report: dict[str, Any]) -> list[str]:
    """The table of classes, and where there are several kinds of labels that of classes by kinds."""
    width = max(5, *(len(c["name"]) for c in report["classes"]))
    cells = {(row["class"], row["kind"]): row for row in report["table"]}
    lines = [f"{'class':{width}s}   id  photos   marks  pixels     time   complete in"]
    for row in report["classes"]:
        own = [cells[row["name"], kind] for kind in report["kinds"] if (row["name"], kind) in cells]
        photos = "" if row["photos"] is None else str(row["photos"])
        marks, seconds = sum(c["marks"] for c in own), sum(c["seconds"] for c in own)
        line = f"{row['name']:{width}s} {row['id']:4d} {photos:>7s} {marks or '':>7} {percent(row['pixel_share']):>7s}"
        complete = ", ".join(f"{kind} {n}" for kind, n in row["complete"].items())
        lines.append(f"{line} {brief(seconds) if seconds else '':>8s}   {complete}".rstrip())
    if len(report["kinds"]) > 1:
        lines += ["", f"{'marks in photos':{width}s} " + "".join(f"{kind:>22s}" for kind in report["kinds"])]
        for row in report["classes"]:
            told = [cells.get((row["name"], kind)) for kind in report["kinds"]]
            if any(told):
                words = [f"{c['marks']} in {c['photos']}, {brief(c['seconds'])}" if c else "-" for c in told]
                lines.append(f"{row['name']:{width}s} " + "".join(f"{w:>22s}" for w in words))
    return lines


def percent(share: float | None) -> str:
    """A share of pixels; - where there are none."""
    if share is None:
        return "-"
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "<0.1%"


def brief(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
