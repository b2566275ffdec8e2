"""Scores and Candidates -> one number."""

from .candidate_loss import Batch, candidate_loss, collate, presence_loss

__all__ = ["Batch", "candidate_loss", "collate", "presence_loss"]
