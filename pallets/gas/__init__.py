"""Gas: what a unit of the work that models cost is worth."""

from pallets.gas.pallet import Config, Gas

__all__ = ["Config", "Gas"]
