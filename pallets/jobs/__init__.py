"""Jobs: work that validators do outside of blocks and attest inside."""

from pallets.jobs.pallet import Config, Jobs, Needs
from pallets.jobs.types import Job, Word

__all__ = ["Config", "Job", "Jobs", "Needs", "Word"]
