"""The page of a run's report. Its text is escaped, its pictures are inside, it asks for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..progress import duration
from . import sections
from .facts import Facts
from .frame import frame
from .markup import Markup, element
from .worst import Shown


def page(
    facts: Facts,
    plots: Mapping[str, Markup],
    shown: Sequence[Shown | tuple[str, str]],
    batches_HW3: np.ndarray | None,
    no_photos: bool,
) -> str:
    """The whole HTML file."""
    made = [
        ("learnt", "What was learnt", sections.learnt(facts)),
        ("classes", "Classes", sections.classes(facts, plots)),
        ("confusions", "Confusions", sections.confusions(plots)),
        ("photos", "Photos, worst first" if facts.scored else "Photos", sections.photos(facts, shown, no_photos)),
        ("training", "Training", sections.training(plots, batches_HW3)),
        ("confidence", "Confidence", sections.confidence(facts, plots)),
        ("left-out", "Left out", sections.left_out(facts)),
        ("protocol", "Protocol", sections.protocol(facts)),
        ("plan", "Plan and machine", sections.plan(facts)),
    ]
    return frame(f"{facts.name}: {_headline(facts)}", _top(facts), made, facts.environment.get("labels2masks", ""))


def _headline(facts: Facts) -> str:
    return f"mIoU {100 * facts.metrics['miou']:.1f}" if facts.scored else "not scored"


def _top(facts: Facts) -> Markup:
    """Name, score and the few numbers that go with it."""
    plan, metrics = facts.plan, facts.metrics
    s = plan.settings
    on = f" on {s.encoder}" if s.encoder else ""
    about = f"{s.network}{on}, {len(plan.train)} training photos, {len(plan.class_list)} classes"
    return element(
        "header",
        element("p", "Run report", class_="over"),
        element("h1", element("bdi", facts.name)),
        element("p", about, class_="about"),
        element("div", _score(facts), element("dl", *_numbers(facts)), class_="scores"),
        element("p", _rests_on(metrics), class_="note") if facts.scored else None,
    )


def _score(facts: Facts) -> Markup:
    if not facts.scored:
        return element("div", element("span", "–", class_="big"), element("span", "not scored"), class_="score")
    low, high = facts.mean_band or (0.0, 0.0)
    spread = f"{100 * low:.1f} to {100 * high:.1f} in 95 % of resampled photo sets"
    return element(
        "div",
        element("span", f"{100 * facts.metrics['miou']:.1f}", class_="big"),
        element("span", "mIoU", class_="unit"),
        element("span", spread, class_="spread"),
        class_="score",
    )


def _numbers(facts: Facts) -> list[Markup]:
    m, plan = facts.metrics, facts.plan
    named = [
        ("pixel accuracy", m.get("pixel_accuracy")),
        ("mean class accuracy", m.get("mean_accuracy")),
        ("frequency-weighted IoU", m.get("fw_iou")),
        ("calibration error", m.get("calibration_error")),
    ]
    shown = [(what, f"{100 * value:.1f} %") for what, value in named if value is not None]
    shown.append(("labelling", duration(plan.labelling_seconds)))
    if m.get("minutes") is not None:
        shown.append(("training", duration(60 * m["minutes"])))
    return [element("div", element("dt", what), element("dd", value)) for what, value in shown]


def _rests_on(metrics: Mapping[str, Any]) -> str:
    card = metrics["protocol"]
    return (
        f"Scored on {card['photos']} photos of {card['data']} ({card['split']}). The range says what other photos of "
        "the same kind would give, not what another training would; frames of one video make it too narrow."
    )
