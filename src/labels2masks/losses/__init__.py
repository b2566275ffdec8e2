"""Scores and Candidates -> one number."""

from .area_shares import area_share_loss
from .box_tightness import box_tightness_loss
from .candidate_loss import Batch, candidate_loss, collate, presence_loss
from .consistency import consistency_loss
from .dense_crf_loss import dense_crf_loss
from .gated_crf_loss import gated_crf_loss
from .photo_terms import TERMS, photo_terms
from .pixel_terms import PIXEL_TERMS, pixel_terms

__all__ = [
    "PIXEL_TERMS",
    "TERMS",
    "Batch",
    "area_share_loss",
    "box_tightness_loss",
    "candidate_loss",
    "collate",
    "consistency_loss",
    "dense_crf_loss",
    "gated_crf_loss",
    "photo_terms",
    "pixel_terms",
    "presence_loss",
]
