"""Session: who votes in which epoch."""

from pallets.session.pallet import CarryOver, Consensus, Engine, Genesis, Session

__all__ = ["CarryOver", "Consensus", "Engine", "Genesis", "Session"]
