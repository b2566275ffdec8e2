"""Image -> hints: what stands out, what belongs together, where a classifier looked. Steps read them from `Cues`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CUES = {
    "threshold": ("cues.threshold:threshold_saliency", "fixed, Otsu 1979, triangle, twice the mean", "nothing"),
    "otsu_levels": ("cues.threshold:levels", "multi-level Otsu, Liao et al. 2001", "nothing"),
    "opencv_threshold": ("cues.threshold:thresholded", "OpenCV's types by name", "nothing"),
    "gaussian_threshold": ("cues.threshold:gaussian_scores", "one Gaussian a class", "labelled pixels"),
    "spectral_residual": ("cues.saliency:spectral_residual", "Hou and Zhang 2007", "nothing"),
    "boundary_connectivity": ("cues.saliency:boundary_connectivity", "Zhu et al. 2014", "nothing"),
    "minimum_barrier": ("cues.saliency:minimum_barrier", "Strand et al. 2013", "nothing"),
    "saliency_network": ("cues.learnt_saliency:object_probability", "Oh et al. 2017", "boxes of anything"),
    "slic": ("cues.superpixels:slic", "Achanta et al. 2012", "nothing"),
    "felzenszwalb": ("cues.superpixels:felzenszwalb", "Felzenszwalb and Huttenlocher 2004", "nothing"),
    "selective_search": ("cues.proposals:selective_search", "Uijlings et al. 2013", "nothing"),
    "class_maps": ("cues.cam:class_maps", "CAM, Zhou et al. 2016", "tags"),
    "layer_cam": ("cues.cam:layer_cam", "Jiang et al. 2021", "a classifier"),
    "frozen_features": (
        "cues.features:FrozenFeatures",
        "hypercolumns, Hariharan et al. 2015",
        "nothing; its encoder: ImageNet",
    ),
    "prototype_maps": ("cues.features:prototype_maps", "prototypes, Snell et al. 2017", "seeds of the photo"),
}
"""Name -> (where, paper, what it learns from)."""


def available() -> list[Mapping[str, Any]]:
    """One {"name", "paper", "learns_from"} a cue."""
    return [{"name": name, "paper": paper, "learns_from": needs} for name, (_, paper, needs) in CUES.items()]
