"""The verbs: each parses its words, calls the Python function of the same name, and prints what came back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import labels2masks as l2m

from ..errors import UsageError
from .told import tell
from .typed import black_and_white, given, opened, settings, words

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
    tell(l2m.demo(**given(out=out, minutes=minutes)), json, "")  # it tells as it goes


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
    result = l2m.check(opened(data, classes, others, merge, levels), out=out, split=split)
    from ..report.check import check_text

    tell(result, json, check_text(result))


@app.command()
def masks(
    data: Data,
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write.")],
    recipe: Annotated[str, typer.Option("--recipe", metavar="NAME|auto", help="See: list recipes")] = "auto",
    steps: Annotated[str | None, typer.Option("--steps", metavar="A,B,C", help="See: list steps")] = None,
    split: Annotated[str | None, typer.Option("--split", metavar="SPLIT", help="Narrow these photos only.")] = None,
    model: Annotated[Path | None, typer.Option("--model", metavar="RUN", help="A run whose scores are a cue.")] = None,
    maps: Annotated[Path | None, typer.Option("--maps", metavar="FOLDER", help="Other tools' maps as cues.")] = None,
    sure: Annotated[float | None, typer.Option("--sure", metavar="SHARE", help="Decide only what is so sure.")] = None,
    saliency: Annotated[
        str, typer.Option("--saliency", metavar="RUN|classical", help="What stands out.")
    ] = "classical",
    classifier: Annotated[Path | None, typer.Option("--classifier", metavar="FOLDER", help="Of class maps.")] = None,
    weights: Annotated[str, typer.Option("--weights", metavar="auto|none|hub|FILE|RUN")] = "auto",
    encoder: Annotated[str | None, typer.Option("--encoder", metavar="NAME", help="Of what is trained first.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Labels in, masks out: a data set to look at and to train on, without a final network."""
    result = l2m.masks(
        data,
        destination,
        recipe=recipe,
        steps=words(steps),
        split=split,
        model=model,
        maps=maps,
        sure=sure,
        saliency=saliency,
        classifier=classifier,
        weights=weights,
        encoder=encoder,
    )
    from ..recipes.masks import masks_text

    tell(result, json, masks_text(result))


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
    sure: Annotated[
        str | None, typer.Option("--sure", metavar="SHARE|auto", help="Narrow labels only where it is so sure.")
    ] = None,
    saliency: Annotated[
        str, typer.Option("--saliency", metavar="RUN|classical", help="What stands out, for narrowing.")
    ] = "classical",
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
        opened(data, classes, others, merge, levels),
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
        saliency=saliency,
        sure=sure,
        settings=settings(changes or ()),
    )
    miou = run.metrics.get("miou")
    agreed = run.metrics.get("agreement", {}).get("overall")
    unscored = "not scored" if agreed is None else f"agreement with labels kept aside {100 * agreed:.1f}, no masks"
    text = f"{run.folder}: {unscored if miou is None else f'mIoU {100 * miou:.1f}'}"
    page = run.folder / "report.html"
    tell({"run": run.folder, "report": page, **run.metrics}, json, f"{text}\nlook at {page}")


@app.command()
def predict(
    run: RunPath,
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="An image, a folder of images, or a data set.")],
    out: Out = None,
    also: Annotated[str, typer.Option("--also", metavar="polygons,coco,csv,scores", help="Written beside.")] = "",
    tta: Tta = None,
    levels: Levels = None,
    shard: Annotated[str | None, typer.Option("--shard", metavar="I/N", help="The I-th of N equal parts.")] = None,
    crf: Annotated[str | None, typer.Option("--crf", metavar="PRESET|FILE", help="Dense CRF; see: crf")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """A mask for every image, in the ids of the data set's own files."""
    numbers = black_and_white(levels)
    tell(l2m.predict(run, images, out=out, tta=tta, also=also, shard=shard, levels=numbers, crf=crf), json)


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
    result = l2m.evaluate(run, opened(data, classes, others, merge, levels), split=split, tta=tta)
    from ..evaluation.table import as_text

    tell(result, json, as_text(result))


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
    chosen = opened(data, classes, others, merge, levels) if data else None
    tell({"report": l2m.Run(run).report(chosen, no_photos)}, json)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders; the first is compared with.")],
    out: Out = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Runs scored on the same photos, and what chance in the photos would do to their difference."""
    result = l2m.compare(runs, out=out)
    from ..report.compare import compare_text

    tell(result, json, compare_text(result))


@app.command()
def review(
    run: RunFolder,
    data: Data,
    out: Out = None,
    split: Annotated[str | None, typer.Option("--split", metavar="SPLIT", help="Review these photos only.")] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="M", help="Train networks for it, in place of a light model.")
    ] = None,
    group_by: GroupBy = None,
    shown: Annotated[int, typer.Option("--shown", metavar="N", help="Labels on the page.")] = 100,
    classes: ChosenClasses = None,
    others: Others = "void",
    merge: Merge = None,
    levels: Levels = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Which labels are wrong: photos, objects and pixels that disagree with models that did not learn from them."""
    chosen = opened(data, classes, others, merge, levels)
    result = l2m.review(run, chosen, out=out, split=split, minutes=minutes, group_by=group_by, shown=shown)
    from ..report.doubt_rows import review_text

    tell(result, json, review_text(result))


@app.command()
def audit(
    run: Annotated[Path, typer.Argument(metavar="RUN|DIR", help="Run folder, model file, or folder of masks.")],
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="An image, a folder of images, or a data set.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the audit.")] = Path("audit"),
    clicks: Annotated[int | None, typer.Option("--clicks", metavar="N", help="Pixels to name; else 800.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Of their order; else 0.")] = None,
    split: Annotated[str | None, typer.Option("--split", metavar="SPLIT", help="These photos only.")] = None,
    levels: Levels = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE.jsonl", help="Write the answers as clicks to learn from.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """An honest score without masks: name random pixels, get mIoU with a band. Again with answers: the score."""
    numbers = black_and_white(levels)
    result = l2m.audit(run, images, out=out, clicks=clicks, seed=seed, split=split, levels=numbers, labels=labels)
    from ..report.audit import audit_text

    tell(result, json, audit_text(result))


@app.command()
def export(
    run: RunPath,
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="The file to write.")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """One ONNX file with preprocessing and arg-max inside, checked against the run."""
    tell(l2m.export(run, onnx=onnx), json)


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
    from ..listing import table
    from ..report.field import field_text

    tell(result, json, "\n\n".join(filter(None, (table(result["layers"]), field_text(result)))))


@app.command()
def explain(
    run: RunFolder,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="One photo.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The page (.html) to write.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """One page about one photo: what the network said, looked at, and holds in its maps."""
    tell({"page": l2m.explain(run, image, out=out)}, json)


@app.command()
def crf(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="One photo.")],
    scores: Annotated[
        Path | None, typer.Argument(metavar="SCORES", help=".npy or .npz of scores or probabilities, or a mask.")
    ] = None,
    model: Annotated[Path | None, typer.Option("--model", metavar="RUN", help="Predicts the scores instead.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="deeplab|deeplab_v2|irn|krahenbuhl|FILE.json")
    ] = None,
    out: Out = None,
    levels: Levels = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """A photo and its scores: the mask of a dense CRF, and a picture of its steps. See also: crf tune"""
    tell(l2m.crf(image, scores, run=model, preset=preset, out=out, levels=black_and_white(levels)), json)


@app.command("crf tune")
def crf_tune(
    data: Data,
    model: Annotated[Path, typer.Option("--model", metavar="RUN", help="Run folder or exported model file.")],
    split: Annotated[str | None, typer.Option("--split", metavar="SPLIT", help="Photos to search on.")] = None,
    start: Annotated[str, typer.Option("--start", metavar="PRESET|FILE", help="Where the search begins.")] = "deeplab",
    folds: Annotated[int, typer.Option("--folds", metavar="K", help="Parts, each once held out.")] = 5,
    evaluations: Annotated[int | None, typer.Option("--evaluations", metavar="N", help="Budget; else 80.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", metavar="M", help="Time to spend.")] = None,
    photos: Annotated[int, typer.Option("--photos", metavar="N", help="At most so many.")] = 60,
    group_by: GroupBy = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.json", help="The file to write.")] = None,
    classes: ChosenClasses = None,
    others: Others = "void",
    merge: Merge = None,
    levels: Levels = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """CRF parameters searched on labelled photos, and what they gain on held-out ones."""
    result = l2m.crf_tune(
        opened(data, classes, others, merge, levels),
        model,
        split=split,
        start=start,
        folds=folds,
        evaluations=evaluations,
        minutes=minutes,
        photos=photos,
        group_by=group_by,
        seed=seed,
        out=out,
    )
    from ..report.crf_tuned import tuned_text

    tell(result, json, tuned_text(result))


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="networks|encoders|recipes|steps|cues|formats|NETWORK")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """What there is; or one network by its name, with the plan of its layers."""
    from ..listing import listed

    rows = l2m.list(what)
    tell(rows, json, listed(rows) if rows else f"no {what} yet")


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
    """A data set in another format; what that can not hold is listed."""
    written = l2m.convert(source, destination, to=to, labels=labels or (), kinds=words(kinds))
    text = "".join(f"left out: {sentence}\n" for sentence in written.left_out) + f"written: {written.path}"
    tell({"written": written.path, "left_out": written.left_out}, json, text)


@app.command()
def simulate(
    data: Data,
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The label file to write, or its folder.")],
    kind: Annotated[str, typer.Option("--kind", metavar="tags|points|scribbles|boxes|extreme|shares|block")],
    split: Annotated[
        list[str] | None, typer.Option("--split", metavar="SPLIT", help="Only these photos; may be repeated.")
    ] = None,
    noise: Annotated[bool, typer.Option("--noise", help="With mistakes as people were measured to make them.")] = False,
    seed: Seed = 0,
    length: Annotated[
        float | None, typer.Option("--length", metavar="L", help="Of strokes: share of the way from tip to tip.")
    ] = None,
    per: Annotated[str, typer.Option("--per", metavar="class|object", help="Clicks and strokes.")] = "class",
    seconds: Annotated[
        str | None, typer.Option("--seconds", metavar="2016|today|FILE.json", help="A mark's, written into the labels.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Full masks to cheaper labels, as a person would have given them, and what they cost."""
    options = given(split=split, noise=noise, length=length, seconds=seconds)
    made = l2m.simulate(data, destination, kind, seed=seed, per=per, **options)
    from ..formats.simulated import simulated_text

    tell(vars(made), json, simulated_text(made))


@app.command()
def page(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photos, or of a data set.")],
    port: Annotated[int, typer.Option("--port", metavar="N", help="0: a free one.", min=0, max=65535)] = 0,
    host: Annotated[str, typer.Option("--host", metavar="H", help="Others reach it? Then with --token.")] = "127.0.0.1",
    token: Annotated[str | None, typer.Option("--token", metavar="T", help="Else a random one.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Show the address only.")] = False,
    classes: Annotated[str | None, typer.Option("--classes", metavar="CAT,DOG", help="Classes to begin with.")] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", metavar="TIMM_NAME")] = None,
    weights: Annotated[str | None, typer.Option("--weights", metavar="auto|none|FILE")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Label photos in the browser; masks of all of them follow."""
    options = given(host=host, token=token, encoder=encoder, weights=weights, classes=words(classes))
    tell(l2m.page(photos, port=port, browser=not no_browser, **options), json)


@app.command()
def doctor(json: Json = False, debug: Debug = False) -> None:
    """What this machine has, what is missing, and the remedy."""
    from ..diagnosis import report

    found = l2m.doctor()
    tell(found, json, report(found))
