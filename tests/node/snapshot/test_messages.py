"""What is verified of an answer before anything else sees it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from node.db.database import Database
from node.snapshot.messages import (
    CHUNK,
    CHUNK_BYTES,
    CHUNK_ENTRIES_MAX,
    EPOCHS,
    QUESTION,
    REQUEST_BYTES_MAX,
    BadChunk,
    Chunk,
    ChunkQuestion,
    Epochs,
    EpochsQuestion,
    NotHeld,
    OfferQuestion,
    verified_chunk,
    verified_epochs,
)
from primitives.codec import CodecError
from primitives.finality import BadProof, EpochProof, trust_genesis
from primitives.state_range import WHOLE, BadRange, Part, StateRange, part_of
from primitives.types import U63_MAX, BlockNumber, EpochIndex, Hash
from tests.node.snapshot.chains import HELD, genesis, grown
from tests.primitives.chains import committee, finalize

ENTRIES = {b"entry %d" % number: b"%d" % number for number in range(50)}
LOW = WHOLE.first_part(1)
[HIGH] = WHOLE.beside_first_part(1)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = grown(Path(tmp_path_factory.mktemp("chain")), ENTRIES)
    yield database
    database.close()


def root_of(chain: Database) -> Hash:
    return chain.finalized().root


def chunk_of(chain: Database, range_: StateRange = LOW) -> Chunk:
    found = chain.holds.part(HELD, range_, (CHUNK_BYTES, CHUNK_ENTRIES_MAX))
    return Chunk(found.range_, found.entries, found.proof)


def proofs_of(chain: Database) -> tuple[EpochProof, ...]:
    found = [chain.blocks.epoch_proof(EpochIndex(epoch)) for epoch in range(1, 5)]
    return tuple(proof for proof in found if proof is not None)


@pytest.mark.parametrize(
    "question",
    [
        OfferQuestion(),
        EpochsQuestion(EpochIndex(U63_MAX)),
        ChunkQuestion(BlockNumber(U63_MAX), WHOLE, Hash(b"\xff" * 32)),
        ChunkQuestion(BlockNumber(0), LOW, None),
    ],
)
def test_the_longest_question_fits(question: OfferQuestion) -> None:
    data = QUESTION.encode(question)
    assert QUESTION.decode(data) == question
    assert len(data) <= REQUEST_BYTES_MAX


def test_a_chunk_of_the_state_is_taken(chain: Database) -> None:
    chunk = chunk_of(chain)
    assert chunk.entries is not None
    found = verified_chunk(CHUNK.encode(chunk), root_of(chain), LOW, None)
    assert found == (chunk, part_of(LOW, chunk.entries))


def test_the_beginning_of_a_range_is_taken_for_the_range(chain: Database) -> None:
    chunk = chunk_of(chain)
    found = verified_chunk(CHUNK.encode(chunk), root_of(chain), WHOLE, None)
    assert found is not None
    assert found[0].range_ == LOW


def test_an_unchanged_range_is_proved_without_its_entries(chain: Database) -> None:
    chunk = chunk_of(chain)
    assert chunk.entries is not None
    part = part_of(LOW, chunk.entries)
    bare = replace(chunk, entries=None)
    assert verified_chunk(CHUNK.encode(bare), root_of(chain), LOW, part) == (bare, part)
    other = Part(part.entries, Hash(b"\x01" * 32))
    with pytest.raises(BadChunk, match="not in the state"):
        verified_chunk(CHUNK.encode(bare), root_of(chain), LOW, other)
    with pytest.raises(BadChunk, match="no entries"):
        verified_chunk(CHUNK.encode(bare), root_of(chain), LOW, None)
    with pytest.raises(BadChunk, match="no entries"):
        verified_chunk(CHUNK.encode(bare), root_of(chain), WHOLE, part)


def test_a_state_that_is_not_held_is_no_chunk(chain: Database) -> None:
    assert verified_chunk(CHUNK.encode(NotHeld()), root_of(chain), LOW, None) is None


def test_another_range_than_was_asked_for_is_refused(chain: Database) -> None:
    for given, asked in ((LOW, HIGH), (HIGH, WHOLE), (WHOLE, LOW)):
        with pytest.raises(BadChunk, match="another range"):
            verified_chunk(CHUNK.encode(chunk_of(chain, given)), root_of(chain), asked, None)


def test_what_is_not_in_the_state_is_refused(chain: Database) -> None:
    chunk = chunk_of(chain)
    assert chunk.entries is not None
    (key, value), *others = chunk.entries
    forged = [
        ((key, value + b"!"), *others),
        tuple(others),
        (),
        chunk.entries[:-1],
    ]
    for entries in forged:
        with pytest.raises(BadChunk, match="not in the state"):
            verified_chunk(CHUNK.encode(replace(chunk, entries=entries)), root_of(chain), LOW, None)
    reordered = tuple(reversed(chunk.entries))
    with pytest.raises(BadRange):
        verified_chunk(CHUNK.encode(replace(chunk, entries=reordered)), root_of(chain), LOW, None)
    with pytest.raises(BadChunk):
        verified_chunk(CHUNK.encode(chunk), Hash(bytes(32)), LOW, None)
    for data in (b"", b"\xc0", CHUNK.encode(chunk) + b"\x00", CHUNK.encode(chunk)[:-1]):
        with pytest.raises(CodecError):
            verified_chunk(data, root_of(chain), LOW, None)


def test_committees_are_proved_one_from_the_other(chain: Database) -> None:
    first = trust_genesis(genesis().block.header, committee(1))
    proofs = proofs_of(chain)
    found, trusted = verified_epochs(EPOCHS.encode(Epochs(proofs)), first)
    assert (tuple(found), trusted.committee) == (proofs, committee(5))
    assert verified_epochs(EPOCHS.encode(Epochs(())), first) == ((), first)
    _, third = verified_epochs(EPOCHS.encode(Epochs(proofs[:2])), first)
    assert verified_epochs(EPOCHS.encode(Epochs(proofs[2:])), third)[1] == trusted


def test_false_committees_are_refused(chain: Database) -> None:
    first = trust_genesis(genesis().block.header, committee(1))
    one, two, *_ = proofs_of(chain)
    stolen = replace(one, successor=committee(7))
    unsigned = replace(one, certificate=finalize(one.header, one.header.parent))
    misplaced = replace(two, certificate=one.certificate)
    for proofs in ((two,), (one, one), (stolen,), (unsigned,), (one, misplaced)):
        with pytest.raises(BadProof):
            verified_epochs(EPOCHS.encode(Epochs(proofs)), first)
