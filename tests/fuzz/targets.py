"""What is fuzzed: every codec by itself, and every reader that does more than decode.

A target reads bytes that somebody else made. It refuses them with an exception that its callers expect, or
returns what they are: for a codec, the same bytes again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import msgpack

from chainspec.presets import dev
from chainspec.spec import SpecError, parse_spec, spec_text
from cli.testnet_scenario import ScenarioError, parse_scenario
from frame.metadata import decode_fields
from inference.certificate import decode_outputs, decode_verdict
from inference.converter.gate import FLOAT
from inference.graph import read as read_graph
from inference.operators.registry import EXACT
from inference.refusal import Refused
from inference.tensor import TensorError
from node.attestation.messages import decode_told, encode_told
from node.blobs.messages import CHUNK_ANSWER, Chunk, manifest_of, verify_chunk
from node.consensus.journal import JournalError, create_journal, inspect_journal
from node.consensus.messages import MESSAGE, read_message
from node.discovery import mdns_packets
from node.discovery.messages import ANSWER as DISCOVERY_ANSWER
from node.discovery.messages import Answer as DiscoveryAnswer
from node.discovery.messages import AuthorityRecord, is_sound
from node.light.messages import PROVED_READ, ProvedEntry, ProvedRead
from node.light.verify import Belief
from node.light.verify import read as read_proved
from node.network import hello
from node.network.dial import credible
from node.network.identity import AddressError, parse_address, parse_peer_id, peer_id_of, scope_of
from node.network.negotiation import NegotiationFailed, accept
from node.pool.messages import decode_batch
from node.snapshot.messages import CHUNK, EPOCHS, BadChunk, Epochs, verified_chunk, verified_epochs
from node.sync.messages import (
    ANNOUNCEMENT,
    ANSWER,
    Announcement,
    Answer,
    BadAnswer,
    Request,
    decode_announcement,
    decode_answer,
)
from primitives.certificate import Certificate, verify_certificate
from primitives.codec import Codec, CodecError
from primitives.extrinsic import EXTRINSIC, SigningContext, decode_extrinsic, verify_extrinsic
from primitives.finality import BadProof, trust_genesis
from primitives.mnemonic import seed_from_uri
from primitives.ss58 import decode_address, encode_address
from primitives.state_proof import StateProof, verify_state_proof
from primitives.state_range import WHOLE, BadRange, StateRange, complement
from primitives.types import AccountId, BlockHash, BlockNumber, Hash, PublicKey, Seed, SpecVersion
from primitives.vote import EVIDENCE, conflict
from runtime.runtime import Runtime
from tests.fuzz.declared import codecs
from tests.fuzz.grow import grow
from tests.fuzz.mutate import mutate_bytes, mutate_tree, spell, spell_loosely
from tests.inference.build import two_layers
from tests.node.sync.samples import chain_of, run_of
from tests.primitives.chains import KEYS, committee, make_chain

T = TypeVar("T")

Read = Callable[[bytes], bytes | None]

TREES_MAX: Final = 40
"""Messages of one type that are kept to be spoilt again."""

PLAIN: Final[tuple[type[Exception], ...]] = (CodecError,)


@dataclass(frozen=True)
class Target:
    """A reader of foreign bytes."""

    name: str
    read: Read
    """Raises one of `refuses`; otherwise the only bytes that mean the same, or None where many do."""

    refuses: tuple[type[Exception], ...]
    make: Callable[[Random], bytes]
    """A message, sound or spoilt."""

    bytes_per_byte: int = 64
    """Most memory that one byte may cost while it is read: a small tuple or number of one byte each."""

    @property
    def file_name(self) -> str:
        """The name as a part of the names of files."""
        return self.name.replace(" ", "-").replace("()", "")


def targets() -> list[Target]:
    """All of them, ordered by name."""
    found = [_codec(name, codec) for name, codec in codecs().items()]
    return sorted(found + _messages() + _texts() + _files(), key=lambda target: target.name)


def _codec(name: str, codec: Codec[Any]) -> Target:
    def read(data: bytes) -> bytes:
        value = codec.decode(data)
        _use(value)
        return codec.encode(value)

    return Target(name, read, (CodecError,), Messages(codec))


class Messages:
    """Messages of a codec's type: sound, or with faults in their trees, their spelling or their bytes."""

    def __init__(self, codec: Codec[Any], *real: Any) -> None:
        """`real`: some with a meaning that no chance gives them."""
        self._codec = codec
        self._trees = [msgpack.unpackb(codec.encode(value)) for value in real]

    def __call__(self, random: Random) -> bytes:
        tree = self._tree(random)
        match random.randrange(8):
            case 0:
                return spell(tree)
            case 1:
                return spell_loosely(tree, random)
            case 2 | 3 | 4:
                return spell(mutate_tree(tree, random))
            case _:
                return mutate_bytes(spell(tree), spell(self._tree(random)), random)

    def _tree(self, random: Random) -> Any:
        """To grow one takes longer than to read ten, so most were used before."""
        if len(self._trees) < TREES_MAX or random.random() < 0.05:
            self._trees[TREES_MAX - 1 :] = [grow(self._codec, random)]
        return random.choice(self._trees)


def _spoilt(samples: tuple[bytes, ...], random: Random) -> bytes:
    """One of the samples, mostly with faults in its bytes."""
    data = random.choice(samples)
    return data if random.random() < 0.1 else mutate_bytes(data, random.choice(samples), random)


# What is done with a value of a stranger before anybody knows whether it is true

_ROOT: Final = Hash(bytes(32))
_COMMITTEE: Final = committee(1)
_CHAIN: Final = make_chain()
_GENESIS: Final = _CHAIN.headers[0]
_TRUSTED: Final = trust_genesis(_GENESIS, _COMMITTEE)
_PROVED: Final = _CHAIN.finality_proof(4, 4)
_PEER: Final = peer_id_of(Seed(bytes(32)))
_BLOCKS: Final = chain_of(3)
_ANSWER: Final = Answer(BlockNumber(3), BlockNumber(1), (run_of(_BLOCKS[1:3]), run_of(_BLOCKS[3:])))
_CONTEXT: Final = SigningContext(BlockHash(bytes(32)), "", SpecVersion(1), _ROOT)


def _use(value: object) -> None:
    """The judgements that follow on a decoded value: whatever they say, they raise nothing."""
    match value:
        case Certificate():
            verify_certificate(value, _COMMITTEE, _TRUSTED.anchor)
        case StateProof():
            verify_state_proof(_ROOT, b"key", b"value", value)
            verify_state_proof(_ROOT, b"key", None, value)
        case StateRange():
            assert len(complement([value])) <= 512
        case AuthorityRecord():
            is_sound(value, _ROOT)
        case Chunk():
            verify_chunk(manifest_of(bytes(100)), 0, value)


def _verified(codec: Codec[T], verify: Callable[[T], object]) -> Read:
    """Decode, verify, and encode again."""

    def read(data: bytes) -> bytes:
        value = codec.decode(data)
        verify(value)
        return codec.encode(value)

    return read


def _again(codec: Codec[T], read: Callable[[bytes], object]) -> Read:
    """A reader that says no more than its codec about what it accepts."""

    def both(data: bytes) -> bytes:
        read(data)
        return codec.encode(codec.decode(data))

    return both


def _greet(message: hello.Message) -> None:
    """What follows on a message of the hello protocol."""
    if isinstance(message, hello.Hello):
        hello.verify_hello(message, _ROOT, _PEER)
    elif isinstance(message, hello.Status):
        credible(message.addresses, "127.0.0.1")
        if message.session is not None:
            hello.verify_session(message.session, _ROOT, _PEER)


def _find(answer: DiscoveryAnswer) -> None:
    """What follows on an answer of the discovery protocol."""
    credible(answer.contacts, "127.0.0.1")
    scope_of(answer.seen_at)
    if answer.record is not None:
        is_sound(answer.record, _ROOT)


def _messages() -> list[Target]:
    """Readers of what peers tell, with the checks that stand beside their codecs."""
    batch = codecs()["node.pool.messages._BATCH"]
    told = codecs()["node.attestation.messages._TOLD"]
    return [
        Target("consensus message", _again(MESSAGE, read_message), PLAIN, Messages(MESSAGE)),
        Target("job message", lambda data: encode_told(decode_told(data)), PLAIN, Messages(told)),
        Target("transaction batch", _again(batch, decode_batch), PLAIN, Messages(batch)),
        Target(
            "extrinsic",
            _verified(EXTRINSIC, lambda found: verify_extrinsic(found, _CONTEXT)),
            PLAIN,
            Messages(EXTRINSIC),
        ),
        Target("extrinsic bytes", _again(EXTRINSIC, decode_extrinsic), PLAIN, Messages(EXTRINSIC)),
        Target(
            "evidence",
            _verified(EVIDENCE, lambda found: conflict(found.first, found.second)),
            PLAIN,
            Messages(EVIDENCE),
        ),
        Target(
            "announcement",
            _again(ANNOUNCEMENT, decode_announcement),
            (CodecError, BadAnswer),
            Messages(ANNOUNCEMENT, Announcement(_CHAIN.headers[4], _PROVED.certificate)),
        ),
        Target(
            "hello",
            _verified(hello.MESSAGES, _greet),
            (CodecError, hello.Refused, AddressError),
            Messages(hello.MESSAGES),
        ),
        *_answers(),
        *_fields(),
    ]


def _answers() -> list[Target]:
    """Readers of what peers answer."""
    asked = Request(BlockNumber(1), BlockNumber(500))
    belief = Belief(_TRUSTED.anchor, _TRUSTED, _GENESIS)

    def chunk(data: bytes) -> None:
        verified_chunk(data, _ROOT, WHOLE, None)

    return [
        Target(
            "sync answer",
            _again(ANSWER, lambda data: decode_answer(data, asked)),
            (CodecError, BadAnswer),
            Messages(ANSWER, _ANSWER),
        ),
        Target(
            "epoch proofs",
            _again(EPOCHS, lambda data: verified_epochs(data, _TRUSTED)),
            (CodecError, BadProof),
            Messages(EPOCHS, Epochs((_CHAIN.epoch_proof(1),))),
        ),
        Target("snapshot chunk", _again(CHUNK, chunk), (CodecError, BadRange, BadChunk), Messages(CHUNK)),
        Target(
            "proved read",
            _verified(PROVED_READ, lambda found: read_proved(belief, [b"key"], found)),
            (CodecError, BadProof),
            Messages(
                PROVED_READ, ProvedRead(_PROVED, (ProvedEntry(b"key", None, StateProof(0, b"", (), None)),))
            ),
        ),
        Target("blob chunk", _verified(CHUNK_ANSWER, _use), PLAIN, Messages(CHUNK_ANSWER)),
        Target(
            "discovery answer",
            _verified(DISCOVERY_ANSWER, _find),
            (CodecError, AddressError),
            Messages(DISCOVERY_ANSWER),
        ),
    ]


def _fields() -> list[Target]:
    """How a client shows the arguments of a call, by the metadata instead of the codec."""
    found = []
    for pallet in Runtime().metadata().pallets:
        for call in pallet.calls:
            codec = codecs()[f"{pallet.name}.{call.name}"]

            def read(data: bytes, fields: Any = call.parameters) -> None:
                decode_fields(fields, data)

            found.append(
                Target(f"shown {pallet.name}.{call.name}", read, (ValueError,), Messages(codec), 256)
            )
    return found


def _text(reader: Callable[[str], object]) -> Callable[[bytes], None]:
    """A reader of text; what is no UTF-8 was refused before."""
    return lambda data: (reader(data.decode("utf-8", "replace")), None)[1]


def _texts() -> list[Target]:
    """What is written in letters."""
    addresses = (
        f"/ip4/127.0.0.1/tcp/30333/p2p/{_PEER}".encode(),
        f"/ip6/::ffff:1.2.3.4/tcp/1/p2p/{_PEER}".encode(),
        b"/dns4/example.org/tcp/65535",
    )
    packets = (
        mdns_packets.encode_question(),
        mdns_packets.encode_announcement(_PEER, "00" * 32, (addresses[0].decode(),)),
    )
    lines = (
        b"\x13/multistream/1.0.0\n\x15/consilience/hello/1\n",
        b"\x03na\n",
        b"\x80\x01" + b"a" * 127 + b"\n",
    )

    def packet(data: bytes) -> None:
        mdns_packets.decode(data)

    return [
        Target("address", _text(parse_address), (AddressError,), partial(_spoilt, addresses)),
        Target("peer id", _text(parse_peer_id), (AddressError,), partial(_spoilt, (_PEER.encode(),))),
        Target(
            "host", _text(scope_of), (AddressError,), partial(_spoilt, (b"127.0.0.1", b"fe80::1%eth0", b"::"))
        ),
        Target(
            "account address",
            _text(decode_address),
            (ValueError,),
            partial(_spoilt, (encode_address(AccountId(KEYS[0].public_key)).encode(),)),
        ),
        Target(
            "key uri", _text(seed_from_uri), (ValueError,), partial(_spoilt, (b"//Alice", b"0x" + b"00" * 32))
        ),
        Target("multicast packet", packet, (mdns_packets.Malformed,), partial(_spoilt, packets), 512),
        Target("protocol choice", _negotiate, (NegotiationFailed,), partial(_spoilt, lines), 512),
    ]


def _negotiate(data: bytes) -> None:
    """Choose a protocol with a peer that says `data`; nothing here ever waits."""

    class Peer:
        def __init__(self) -> None:
            self.left = data

        async def read(self, n: int) -> bytes:
            part, self.left = self.left[:n], self.left[n:]
            return part

        async def write(self, _: bytes) -> None:
            pass

    choosing = accept(Peer(), (hello.PROTOCOL,))
    try:
        choosing.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for bytes that are there")


def _files() -> list[Target]:
    """Files that somebody else wrote, or that a disk has spoilt."""
    spec = spec_text(dev())
    model = two_layers()
    verdicts = codecs()["inference.certificate._VERDICT"]

    def verdict(data: bytes) -> None:
        found = decode_verdict(data)
        if hasattr(found, "outputs"):
            decode_outputs(found, data)  # type: ignore[arg-type]  # it has the outputs of a certificate

    return [
        Target(
            "exact model",
            lambda data: _none(read_graph(data, EXACT)),
            (Refused,),
            partial(_spoilt, (model,)),
            1024,
        ),
        Target(
            "float model",
            lambda data: _none(read_graph(data, FLOAT)),
            (Refused,),
            partial(_spoilt, (model,)),
            1024,
        ),
        Target("verdict", verdict, (CodecError, TensorError), Messages(verdicts), 512),
        Target(
            "chain specification",
            lambda data: _none(parse_spec(data)),
            (SpecError,),
            partial(_spoilt, (spec,)),
            1024,
        ),
        Target(
            "scenario",
            _text(lambda text: parse_scenario(text, "s")),
            (ScenarioError,),
            partial(_spoilt, (_scenario(),)),
            4096,
        ),
    ]


def _none(_: object) -> None:
    return None


def _scenario() -> bytes:
    [first, *_] = sorted(Path("tests/chaos/scenarios").glob("*.toml"))
    return first.read_bytes()


def journal_target(directory: Path) -> Target:
    """The vote journal, as a file in `directory`."""
    path = directory / "journal"
    create_journal(path, PublicKey(KEYS[0].public_key))
    sound = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        inspect_journal(path)

    return Target("vote journal", read, (JournalError,), partial(_spoilt, (sound,)), 1024)
