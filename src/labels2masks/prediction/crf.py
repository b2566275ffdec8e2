"""Which dense CRF: a preset's name, or the file that `crf tune` wrote. What is applied is said in one line.

    {"version": 1, "parameters": {"bilateral_weight": 4, "bilateral_xy": 121, ...}, ...what it rests on}

Numpy only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError, did_you_mean
from ..files import write_atomically
from ..kernels.dense_crf import PRESETS, CRFParameters

Preset = str | Path | CRFParameters


def crf_parameters(preset: Preset) -> CRFParameters:
    """The parameters of a preset's name, of a JSON file, or the ones given.

    Raises UsageError for an unknown name, DataError for a file that holds no parameters.
    """
    if isinstance(preset, CRFParameters):
        return preset
    if preset in PRESETS:
        return PRESETS[str(preset)]
    said = _read(preset)
    try:
        found = said["parameters"]
        return CRFParameters(**{field.name: found[field.name] for field in fields(CRFParameters)})
    except (KeyError, TypeError, UsageError) as error:
        wanted = ", ".join(field.name for field in fields(CRFParameters))
        raise DataError(f"{preset}: no CRF parameters ({type(error).__name__}: {error}); expected {wanted}") from None


def write_crf(path: Path | str, parameters: CRFParameters, rests_on: Mapping[str, Any]) -> Path:
    """A file that `crf_parameters` reads. rests_on: further JSON values; "tuned_on" says in words on which photos."""
    value = {"version": 1, "parameters": asdict(parameters), **rests_on}
    return write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def in_words(preset: Preset) -> str:
    """'bilateral 4 (121 px, 5 levels), Gaussian 3 (3 px), 10 steps', of a file with the photos it was tuned on: whoever
    scores masks on the same ones must see that. 'none' where no kernel has a weight."""
    p, terms = crf_parameters(preset), []
    if p.bilateral_weight:
        terms.append(f"bilateral {p.bilateral_weight:.3g} ({p.bilateral_xy:.3g} px, {p.bilateral_rgb:.3g} levels)")
    if p.gaussian_weight:
        terms.append(f"Gaussian {p.gaussian_weight:.3g} ({p.gaussian_xy:.3g} px)")
    if not terms or not p.iterations:
        return "none"
    tuned_on = None if isinstance(preset, CRFParameters) or preset in PRESETS else _read(preset).get("tuned_on")
    return f"{', '.join(terms)}, {p.iterations} steps" + (f"; tuned on {tuned_on}" if tuned_on else "")


def _read(preset: str | Path) -> dict[str, Any]:
    path = Path(preset)
    if not path.is_file():
        close = did_you_mean(str(preset), PRESETS)
        raise UsageError(f"no CRF preset and no file {str(preset)!r}{close}; `crf tune` writes such a file")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise DataError(f"{path}: not valid JSON; `crf tune` writes files of CRF parameters") from None
    return found if isinstance(found, dict) else {}
