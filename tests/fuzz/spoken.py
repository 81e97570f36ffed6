"""What is said on each protocol. A protocol that is not here fails a test."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from node import consensus_transport
from node.attestation import messages as jobs
from node.blobs import messages as blobs
from node.consensus.messages import MESSAGE
from node.discovery import messages as discovery
from node.evidence import service as evidence
from node.network import hello
from node.pool import messages as pool
from node.snapshot import messages as snapshot
from node.sync import messages as sync
from primitives.vote import EVIDENCE
from tests.fuzz.declared import codecs
from tests.fuzz.targets import Messages

Make = Callable[[Random], bytes]


@dataclass(frozen=True)
class Spoken:
    """Messages of one protocol, sound and spoilt."""

    says: Make
    """Frames of a channel, or questions."""

    answers: tuple[Make, ...] = ()
    """What a question may be answered with; empty for a channel."""


_CODECS: Final = codecs()

SPOKEN: Final = {
    hello.PROTOCOL: Spoken(Messages(hello.MESSAGES)),
    consensus_transport.PROTOCOL: Spoken(Messages(MESSAGE)),
    pool.PROTOCOL: Spoken(Messages(_CODECS["node.pool.messages._BATCH"])),
    jobs.PROTOCOL: Spoken(Messages(_CODECS["node.attestation.messages._TOLD"])),
    evidence.PROTOCOL: Spoken(Messages(EVIDENCE)),
    sync.ANNOUNCE_PROTOCOL: Spoken(Messages(sync.ANNOUNCEMENT)),
    sync.PROTOCOL: Spoken(Messages(sync.REQUEST), (Messages(sync.ANSWER),)),
    snapshot.PROTOCOL: Spoken(
        Messages(snapshot.QUESTION),
        (Messages(snapshot.OFFER), Messages(snapshot.EPOCHS), Messages(snapshot.CHUNK)),
    ),
    blobs.PROTOCOL: Spoken(
        Messages(blobs.REQUEST), (Messages(blobs.MANIFEST_ANSWER), Messages(blobs.CHUNK_ANSWER))
    ),
    discovery.PROTOCOL: Spoken(Messages(discovery.QUESTION), (Messages(discovery.ANSWER),)),
}
CHANNELS: Final = sorted(name for name, one in SPOKEN.items() if not one.answers and name != hello.PROTOCOL)
SERVICES: Final = sorted(name for name, one in SPOKEN.items() if one.answers)
