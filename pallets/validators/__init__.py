"""Validators: the set of those who are to validate, kept by root."""

from pallets.validators.pallet import Needs, Validators

__all__ = ["Needs", "Validators"]
