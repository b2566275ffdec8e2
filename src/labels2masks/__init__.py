"""Images with labels of any kind in, a trained segmentation network and its masks out.

    import labels2masks as l2m

    data = l2m.open("photos/")
    run = l2m.train(data, minutes=20)
    mask = run.predict("new.jpg")
    run.export("model.onnx")

Every verb of the command line is a function here, with the same name and arguments. All
names are looked up when they are first used, so that this import costs nothing and
reading, checking and converting labels never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_NAMES = {
    # verbs
    "open": "formats.open:open_dataset",
    "check": "report.check:check",
    "convert": "formats.convert:convert",
    "simulate": "formats.simulated:simulate",
    "masks": "recipes.masks:masks",
    "train": "recipes:train",
    "predict": "prediction.predict:predict",
    "evaluate": "evaluation.evaluate:evaluate",
    "compare": "report.compare:compare",
    "review": "report.review:review",
    "audit": "report.audit:audit",
    "export": "deployment.onnx:export",
    "demo": "demonstration:demo",
    "crf": "report.crf_steps:crf",
    "crf_tune": "report.crf_tuned:crf_tune",
    "explain": "report.explain:explain",
    "field": "report.field:field",
    "page": "page:page",
    "doctor": "diagnosis:doctor",
    "list": "listing:list_what",
    # one image in, arrays out
    "predict_mask": "prediction:predict_mask",
    "predict_scores": "prediction:predict_scores",
    "load_model": "prediction:load_model",
    "dense_crf": "kernels.dense_crf:dense_crf",
    "dense_crf_batch": "kernels.dense_crf:dense_crf_batch",
    "GaussianFilter": "kernels.gaussian_filter:GaussianFilter",
    "GaussianOperator": "kernels.gaussian_torch:GaussianOperator",
    "gaussian_filter": "kernels.gaussian_torch:gaussian_filter",
    "CRFasRNN": "networks.crf_as_rnn:CRFasRNN",
    "guided_upsample": "kernels.guided:guided_upsample",
    "propagate_labels": "kernels.guided:propagate_labels",
    "superpixel_vote": "kernels.superpixels:superpixel_vote",
    "pool_by_segments": "kernels.superpixels:pool_by_segments",
    # what they hand to each other
    "Classes": "classes:Classes",
    "Grid": "grid:Grid",
    "Dataset": "formats.dataset:Dataset",
    "Photo": "formats.dataset:Photo",
    "Run": "run:Run",
    "Candidates": "labels:Candidates",
    "Tags": "labels:Tags",
    "Point": "labels:Point",
    "Points": "labels:Points",
    "Stroke": "labels:Stroke",
    "Scribbles": "labels:Scribbles",
    "Box": "labels:Box",
    "Boxes": "labels:Boxes",
    "Mask": "labels:Mask",
    "AreaShares": "labels:AreaShares",
    "UsageError": "errors:UsageError",
    "DataError": "errors:DataError",
    # stages, for `l2m.networks.FCN8s(classes=21)`
    **{
        stage: stage
        for stage in ("labels", "formats", "kernels", "narrowing", "encoders", "networks", "losses", "prediction")
        + ("evaluation", "training", "report", "recipes", "deployment")
    },
}

__all__ = [*sorted(_NAMES), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        from .errors import did_you_mean

        raise AttributeError(f"labels2masks has no {name!r}{did_you_mean(name, _NAMES)}")
    module, _, attribute = _NAMES[name].partition(":")
    value = import_module(f".{module}", __name__)
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> Any:
    return sorted({*globals(), *_NAMES})
