"""Fees: what an extrinsic costs, and who gets it."""

from pallets.fees.pallet import Config, Fees, Needs

__all__ = ["Config", "Fees", "Needs"]
