"""Bugs in what a light client believes."""

from primitives import finality
from primitives.finality import Flaw
from tests.simulation.mutants.plant import Breaks, Family, Real, instead

plant = Family("Light clients")


def _overlooks(name: str, flaw: Flaw, what: str) -> None:
    """Declare a mutant that lets one flaw of a proof pass."""

    def ensure(real: Real, condition: bool, found: Flaw) -> None:
        real(condition or found == flaw, found)

    plant.register(name, Breaks.SAFETY, f"lets a light client {what}", instead(finality, "_ensure", ensure))


_overlooks("next_set_unchecked", Flaw.WRONG_SUCCESSOR, "take any committee for the next")
_overlooks("light_finality_unchecked", Flaw.NOT_FINAL, "take a notarized header for a final one")
_overlooks("light_certificate_unchecked", Flaw.BAD_CERTIFICATE, "take too few signatures")
_overlooks("light_chain_unchecked", Flaw.NOT_A_CHAIN, "follow headers that are no chain")
