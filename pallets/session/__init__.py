"""Session: who votes in which epoch, with which key."""

from pallets.session.pallet import Config, Needs, Session
from pallets.session.types import EPOCH_LENGTH_MAX, MILLISECONDS_MAX, Consensus, Engine, Genesis

__all__ = [
    "EPOCH_LENGTH_MAX",
    "MILLISECONDS_MAX",
    "Config",
    "Consensus",
    "Engine",
    "Genesis",
    "Needs",
    "Session",
]
