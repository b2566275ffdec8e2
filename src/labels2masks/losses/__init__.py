"""Scores and Candidates -> one number."""

from .candidate_loss import Batch, candidate_loss, collate, presence_loss
from .dense_crf_loss import dense_crf_loss
from .gated_crf_loss import gated_crf_loss

__all__ = ["Batch", "candidate_loss", "collate", "dense_crf_loss", "gated_crf_loss", "presence_loss"]
