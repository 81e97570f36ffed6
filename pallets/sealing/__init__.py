"""Sealing: the keys to which private inputs are sealed, one for each validator."""

from pallets.sealing.pallet import Config, Needs, Sealing

__all__ = ["Config", "Needs", "Sealing"]
