"""System: accounts, the block number, hashes of recent blocks, the identity of the chain."""

from pallets.system.pallet import Genesis, System

__all__ = ["Genesis", "System"]
