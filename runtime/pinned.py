"""The model files that a node needs to execute blocks, and so keeps for ever."""

from dataclasses import dataclass

from primitives.types import Hash
from runtime.pallets import Pallets


@dataclass(frozen=True, slots=True)
class PinnedModel:
    """A model that blocks run."""

    blob: Hash
    """Content hash of its file."""

    size_bytes: int
    certificate: bytes
    """Canonical exactness certificate."""


def pinned_models(pallets: Pallets) -> tuple[PinnedModel, ...]:
    """Every one, suspended ones too: old blocks ran them."""
    deployed = pallets.instant.models.items()
    return tuple(PinnedModel(one.blob, one.size_bytes, one.certificate) for _, one in deployed)
