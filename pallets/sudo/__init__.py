"""Sudo: an account that may call with the authority of the chain itself."""

from pallets.sudo.pallet import Needs, Sudo

__all__ = ["Needs", "Sudo"]
