"""Offences: the equivocations that were proved on chain."""

from pallets.offences.pallet import Config, Needs, Offences

__all__ = ["Config", "Needs", "Offences"]
