"""Balances: the token."""

from pallets.balances.pallet import Balances, Config

__all__ = ["Balances", "Config"]
