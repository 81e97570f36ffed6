"""Disputes: results of jobs are challenged for a while, and the conduct of validators is counted."""

from pallets.disputes.pallet import Config, Disputes, Needs

__all__ = ["Config", "Disputes", "Needs"]
