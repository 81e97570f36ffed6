"""Evaluation: how good models are on registered data sets, exactly, as validators attest."""

from pallets.evaluation.pallet import Config, Evaluations, Needs

__all__ = ["Config", "Evaluations", "Needs"]
