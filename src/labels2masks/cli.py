"""The command line: `labels2masks` (`l2m` for short). Parse, call the Python verb of the same name, print.

Results go to standard output, progress and errors to standard error. With --json the last line of standard
output is one JSON value. Exit codes: 2 the call is wrong, 3 a file or label is wrong, 4 anything that failed on
the way, 130 stopped from the keyboard. An error is one line; --debug shows where it came from.

Nothing heavy is imported here: every verb is looked up in the package when it is called.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import labels2masks as l2m

from .errors import DataError, UsageError, did_you_mean

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich costs a quarter of the time that --help may take
    pretty_exceptions_enable=False,
    help="Images with labels of any kind in; a trained segmentation network, its masks and an honest score out.",
    epilog="A first run without any download: labels2masks demo. Your photos: labels2masks train photos/",
)

Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Data = Annotated[Path, typer.Argument(metavar="DATA", help="Folder or file of a data set.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder or exported model file.")]
ChosenClasses = Annotated[str | None, typer.Option("--classes", metavar="CAT,DOG", help="Keep these classes only.")]
Others = Annotated[str, typer.Option("--others", metavar="void|background", help="What the other classes become.")]
Merge = Annotated[
    list[str] | None, typer.Option("--merge", metavar="BUS+CAR=VEHICLE", help="Join classes; may be repeated.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N")]
GroupBy = Annotated[str | None, typer.Option("--group-by", metavar="REGEX", help="Photos that belong together.")]
Levels = Annotated[
    str | None, typer.Option("--levels", metavar="LOW HIGH|percentile", help="Black and white of 16-bit images.")
]
NoPhotos = Annotated[bool, typer.Option("--no-photos", help="A report without pictures of photos.")]
Tta = Annotated[
    bool | None,
    typer.Option("--tta/--no-tta", help="Average mirrored and scaled views, or take one; else as its recipe does."),
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to write to.")]


@app.command()
def demo(
    out: Out = None,
    minutes: Annotated[float | None, typer.Option("--minutes", metavar="M", help="Time to train.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """First run: train on an embedded sample with mixed labels; no download."""
    _tell(l2m.demo(**_given(out=out, minutes=minutes)), json, "")  # it tells as it goes


@app.command()
def check(
    data: Data,
    out: Out = None,
    split: Annotated[str | None, typer.Option("--split", metavar="SPLIT", help="Look at these photos only.")] = None,
    classes: ChosenClasses = None,
    others: Others = "void",
    merge: Merge = None,
    levels: Levels = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """What is in a data set, what is wrong with it, and a contact sheet."""
    result = l2m.check(_opened(data, classes, others, merge, levels), out=out, split=split)
    from .report.check import check_text

    _tell(result, json, check_text(result))


@app.command()
def train(
    data: Data,
    recipe: Annotated[str, typer.Option("--recipe", metavar="NAME|auto")] = "auto",
    network: Annotated[str | None, typer.Option("--network", metavar="NAME", help="See: list networks")] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", metavar="TIMM_NAME", help="See: list encoders")] = None,
    weights: Annotated[str, typer.Option("--weights", metavar="auto|none|hub|FILE|RUN")] = "auto",
    train: Annotated[str | None, typer.Option("--train", metavar="SPLIT", help="Photos to learn from.")] = None,
    val: Annotated[str, typer.Option("--val", metavar="SPLIT|auto", help="Photos to score on.")] = "auto",
    epochs: Annotated[float | None, typer.Option("--epochs", metavar="N")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", metavar="M", help="Time to spend.")] = None,
    size: Annotated[int | None, typer.Option("--size", metavar="PX", help="Long side photos are shrunk to.")] = None,
    seed: Seed = 0,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    plan: Annotated[Path | None, typer.Option("--plan", metavar="FILE", help="Follow a plan.json.")] = None,
    group_by: GroupBy = None,
    classes: ChosenClasses = None,
    others: Others = "void",
    merge: Merge = None,
    levels: Levels = None,
    no_photos: NoPhotos = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Any setting; may be repeated.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Labels in, a trained and scored network out. Needs no other word than DATA."""
    if epochs is not None and minutes is not None:
        raise UsageError("give --epochs or --minutes, not both")
    if resume and out is None:
        raise UsageError("--resume needs --out: the folder of the run to go on with")
    run = l2m.train(
        _opened(data, classes, others, merge, levels),
        recipe=recipe,
        network=network,
        encoder=encoder,
        weights=weights,
        train=train,
        val=val,
        epochs=epochs,
        minutes=minutes,
        size=size,
        seed=seed,
        out=out,
        resume=resume,
        group_by=group_by,
        plan=plan,
        no_photos=no_photos,
        settings=_settings(changes or ()),
    )
    miou = run.metrics.get("miou")
    text = f"{run.folder}: not scored" if miou is None else f"{run.folder}: mIoU {100 * miou:.1f}"
    page = run.folder / "report.html"
    _tell({"run": run.folder, "report": page, **run.metrics}, json, f"{text}\nlook at {page}")


@app.command()
def predict(
    run: RunPath,
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="An image, a folder of images, or a data set.")],
    out: Out = None,
    also: Annotated[str, typer.Option("--also", metavar="polygons,coco,csv,scores", help="Written beside.")] = "",
    tta: Tta = None,
    levels: Levels = None,
    shard: Annotated[str | None, typer.Option("--shard", metavar="I/N", help="The I-th of N equal parts.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """A mask for every image, in the ids of the data set's own files."""
    _tell(l2m.predict(run, images, out=out, tta=tta, also=also, shard=shard, levels=_levels(levels)), json)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN|DIR", help="Run folder, model file, or folder of masks.")],
    data: Data,
    split: Annotated[str | None, typer.Option("--split", metavar="SPLIT")] = None,
    tta: Tta = None,
    classes: ChosenClasses = None,
    others: Others = "void",
    merge: Merge = None,
    levels: Levels = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Score a run, or a folder of masks, against the masks of a data set."""
    result = l2m.evaluate(run, _opened(data, classes, others, merge, levels), split=split, tta=tta)
    from .evaluation.table import as_text

    _tell(result, json, as_text(result))


@app.command()
def report(
    run: RunFolder,
    data: Annotated[Path | None, typer.Option("--data", metavar="DATA", help="Where its photos are now.")] = None,
    no_photos: NoPhotos = False,
    classes: ChosenClasses = None,
    others: Others = "void",
    merge: Merge = None,
    levels: Levels = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """One page that says what a run has learnt, made anew."""
    if data is None and (classes or merge or levels):
        raise UsageError("--classes, --merge and --levels need --data")
    opened = _opened(data, classes, others, merge, levels) if data else None
    _tell({"report": l2m.Run(run).report(opened, no_photos)}, json)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders; the first is compared with.")],
    out: Out = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Runs scored on the same photos, and what chance in the photos would do to their difference."""
    result = l2m.compare(runs, out=out)
    from .report.compare import compare_text

    _tell(result, json, compare_text(result))


@app.command()
def export(
    run: RunPath,
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="The file to write.")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """One ONNX file with preprocessing and arg-max inside, checked against the run."""
    _tell(l2m.export(run, onnx=onnx), json)


@app.command()
def field(
    network: Annotated[str, typer.Argument(metavar="NETWORK|RUN", help="See: list networks")],
    encoder: Annotated[str | None, typer.Option("--encoder", metavar="TIMM_NAME", help="See: list encoders")] = None,
    image: Annotated[Path | None, typer.Option("--image", metavar="FILE", help="A photo to look at.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="PICTURE", help="The picture (.png) to write.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """What the stages of a network can see, and with --image what counts for the photo's middle."""
    result = l2m.field(network, encoder=encoder, image=image, out=out)
    from .listing import table
    from .report.field import field_text

    _tell(result, json, "\n\n".join(filter(None, (table(result["layers"]), field_text(result)))))


@app.command()
def explain(
    run: RunFolder,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="One photo.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The page (.html) to write.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """One page about one photo: what the network said, looked at, and holds in its maps."""
    _tell({"page": l2m.explain(run, image, out=out)}, json)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="networks|encoders|recipes|steps|cues|formats|NETWORK")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """What there is; or one network by its name, with the plan of its layers."""
    from .listing import listed

    rows = l2m.list(what)
    _tell(rows, json, listed(rows) if rows else f"no {what} yet")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder or file of a data set.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="What to write.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="See: list formats")],
    labels: Annotated[
        list[Path] | None, typer.Option("--labels", metavar="FILE", help="Further labels; may be repeated.")
    ] = None,
    kinds: Annotated[str | None, typer.Option("--kinds", metavar="TAGS,POINTS", help="Keep these kinds only.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """A data set in another format, without loss."""
    written = l2m.convert(source, destination, to=to, labels=labels or (), kinds=_words(kinds))
    _tell({"written": written}, json)


@app.command()
def doctor(json: Json = False, debug: Debug = False) -> None:
    """What this machine has, what is missing, and the remedy."""
    from .diagnosis import report

    found = l2m.doctor()
    _tell(found, json, report(found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. The console scripts and `python -m labels2masks` are this."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name that the terminal can not show is no failure
    try:
        if words[0] == "--version":
            print(l2m.__version__)
            return 0
        if not words[0].startswith("-"):
            _known_verb(words[0])
        done = app(_with_levels_joined(words), prog_name="labels2masks", standalone_mode=False)
        if done == 130:  # the parser's own way to say so
            raise KeyboardInterrupt
        sys.stdout.flush()
        return done if isinstance(done, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` is no failure, nor is the last flush
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in words:
            import traceback

            traceback.print_exc()
        code, text = _failure(error)
        print(f"error: {text}", file=sys.stderr)
        return code


def _failure(error: BaseException) -> tuple[int, str]:
    """(exit code, one line) for whatever went wrong."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return 130, "stopped from the keyboard; what was written is whole, and `train --resume --out DIR` goes on"
    if hasattr(error, "format_message"):  # the command-line parser's own
        return 2, _line(error.format_message())
    if isinstance(error, UsageError):
        return 2, _line(error)
    if isinstance(error, DataError):
        return 3, _line(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        name = getattr(error, "filename", None)
        where = f" while writing {name}" if name else ""
        return 4, f"the disk is full{where}; what was written before is whole: make room, call again (train: --resume)"
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return 3, f"{error.filename or 'a file'}: {(error.strerror or str(error)).lower()}"
    return 4, f"{type(error).__name__}: {_line(error)} (--debug shows where)"


def _line(error: object) -> str:
    return " ".join(str(error).split()) or "no reason given"


def _known_verb(word: str) -> None:
    verbs = [c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands]
    if word not in verbs:
        raise UsageError(f"no command {word!r}{did_you_mean(word, verbs)}")


def _with_levels_joined(words: list[str]) -> list[str]:
    """`--levels 0 4095` as one value, which is what the parser can take: `--levels 0,4095`."""
    if "--levels" in words[:-2]:
        at = words.index("--levels")
        low, high = words[at + 1 : at + 3]
        if _number(low) is not None and _number(high) is not None:
            return [*words[: at + 1], f"{low},{high}", *words[at + 3 :]]
    return words


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _levels(text: str | None) -> Any:
    if text is None or text == "percentile":
        return text
    parts = [_number(part) for part in text.split(",")]
    if len(parts) != 2 or None in parts:
        raise UsageError(f"--levels takes two numbers or 'percentile', got {text!r}")
    return tuple(parts)


def _opened(path: Path, classes: str | None, others: str, merge: Sequence[str] | None, levels: str | None) -> Any:
    """The data set at a path with its classes chosen."""
    joined: dict[str, list[str]] = {}
    for text in (part for words in merge or () for part in words.split(",")):
        parts, equals, name = text.partition("=")
        if not (equals and name and all(parts.split("+"))):
            raise UsageError(f"--merge takes OLD+OLD=NEW, such as bus+car=vehicle; got {text!r}")
        joined.setdefault(name.strip(), []).extend(p.strip() for p in parts.split("+"))
    return l2m.open(path, classes=_words(classes), others=others, merge=joined or None, levels=_levels(levels))


def _words(text: str | None) -> list[str] | None:
    return [word.strip() for word in text.split(",") if word.strip()] if text else None


def _settings(changes: Sequence[str]) -> dict[str, Any]:
    """{"a.b": value}; a value that reads as JSON is one, else it is text."""
    result: dict[str, Any] = {}
    for change in changes:
        path, equals, text = change.partition("=")
        if not (path and equals):
            raise UsageError(f"--set takes NAME=VALUE, such as optimiser.rate=3e-4; got {change!r}")
        try:
            result[path] = json.loads(text)
        except ValueError:
            result[path] = text
    return result


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given: the Python verb's own defaults stand for the rest."""
    return {name: value for name, value in options.items() if value not in (None, False, [])}


def _tell(result: Any, as_json: bool, text: str | None = None) -> None:
    """Print the result: as one line of JSON, or for a person as `text`, else a line for each value that is said."""
    if as_json:
        print(json.dumps(_plain(result), allow_nan=False))
    elif text is None:
        for name, value in result.items():
            if isinstance(value, list | tuple) and value:
                print(f"{name.replace('_', ' ')}: {len(value)}, the first: {value[0]}")
            elif not isinstance(value, dict | list | tuple | None):
                print(f"{name.replace('_', ' ')}: {value}")
    elif text:
        print(text)


def _plain(value: Any) -> Any:
    """The same in JSON's words; what it has none for (nan, infinity) is null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "tolist"):  # numpy
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if isinstance(value, str | int | bool | None) else str(value)
