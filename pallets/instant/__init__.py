"""Instant: small models that every node runs while it executes a block."""

from pallets.instant.pallet import Config, Instant, Needs

__all__ = ["Config", "Instant", "Needs"]
