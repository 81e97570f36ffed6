"""Timestamp: the time on the chain, which is that of its headers."""

from pallets.timestamp.pallet import Timestamp

__all__ = ["Timestamp"]
