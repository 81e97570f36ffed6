"""How a node may break its promises, by the name that a scenario gives it."""

from tests.simulation.byzantine import (
    Byzantine,
    DoubleVoter,
    Equivocator,
    Relay,
    Replayer,
    Selective,
    Silent,
    Twin,
)
from tests.simulation.directed import (
    Bypasser,
    DoubleProposer,
    Impostor,
    Orphaner,
    Overclaimer,
    Relabeller,
    Withholder,
)
from tests.simulation.forger import Forger
from tests.simulation.scenario import TWIN_KIND

KINDS: dict[str, type[Byzantine]] = {
    TWIN_KIND: Twin,
    "silent": Silent,
    "equivocator": Equivocator,
    "double voter": DoubleVoter,
    "replayer": Replayer,
    "relay": Relay,
    "selective": Selective,
    "forger": Forger,
}
"""What a seed draws from."""

DIRECTED_KINDS: dict[str, type[Byzantine]] = {
    "impostor": Impostor,
    "orphaner": Orphaner,
    "bypasser": Bypasser,
    "withholder": Withholder,
    "overclaimer": Overclaimer,
    "relabeller": Relabeller,
    "double proposer": DoubleProposer,
}
"""What only scenarios written by hand use: each tries one thing at every occasion."""
