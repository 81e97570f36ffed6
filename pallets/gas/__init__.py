"""Gas: what a unit of the work that models cost is worth, and a place among the open jobs."""

from pallets.gas.pallet import Config, Gas, SlotPrices

__all__ = ["Config", "Gas", "SlotPrices"]
