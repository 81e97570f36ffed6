"""The specification of a chain that goes on from the state of another one, and the file of that state."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from chainspec.fork import Forked, Successor, fork_chain
from chainspec.genesis import genesis_block
from chainspec.presets import local
from chainspec.spec import ChainSpec, SpecError, genesis_changes, parse_spec, spec_text
from chainspec.state_file import (
    STATE_BYTES_MAX,
    BadStateFile,
    read_state,
    state_path_of,
    write_state,
)
from frame.validators import Validator
from primitives.block import block_hash
from primitives.committee import committee_root
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.state_root import state_root
from primitives.types import AccountId, PublicKey, Stake
from runtime.fork import ForkRefused

ENTRIES = {key: value for key, value in genesis_changes(local()) if value is not None}


def seat(name: str, stake: int = 1) -> Validator:
    key = SigningKey(seed_from_uri(f"//{name}")).public_key
    return Validator(AccountId(key), PublicKey(key), Stake(stake))


def fork(*validators: Validator, old: ChainSpec | None = None) -> Forked:
    successor = Successor(
        name="Next",
        id="next",
        fork_id="next-1",
        boot_nodes=["/ip4/127.0.0.1/tcp/1"],
        validators=validators or (seat("Eve"), seat("Ferdie", 2)),
    )
    old = old or local()
    return fork_chain(old, genesis_block(old).header, ENTRIES, successor)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "next.json"
    write_state(state_path_of(file), fork().entries)
    return state_path_of(file)


def test_block_zero_commits_to_the_state_the_time_and_the_validators() -> None:
    forked = fork()
    genesis = genesis_block(forked.spec)
    assert genesis.changes is None
    assert genesis.header.state_root == state_root(forked.entries)
    assert genesis.header.timestamp_ms == genesis_block(local()).header.timestamp_ms
    assert genesis.header.next_set == committee_root(genesis.committee)
    assert [member.key for member in genesis.committee.members] == [seat("Eve").key, seat("Ferdie").key]
    assert block_hash(genesis.header) != block_hash(genesis_block(local()).header)


def test_the_specification_survives_its_file_and_keeps_the_pace() -> None:
    spec = fork().spec
    assert parse_spec(spec_text(spec)) == spec
    assert (spec.id, spec.fork_id, spec.consensus) == ("next", "next-1", local().consensus)
    raw = spec.genesis.raw_genesis
    assert raw is not None
    assert (raw.forked_from.chain, raw.forked_from.height) == ("local", 0)


def test_the_state_survives_its_file(file: Path) -> None:
    forked = fork()
    assert read_state(file, forked.spec) == forked.entries


def test_every_truncated_or_altered_file_is_refused(file: Path) -> None:
    spec, data = fork().spec, file.read_bytes()
    damaged = [data[: len(data) * part // 16] for part in range(16)]
    damaged += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(0, len(data), 97)]
    damaged += [data + b"\x00", data + data[20:], b""]
    for each in damaged:
        file.write_bytes(each)
        with pytest.raises(BadStateFile, match="--sync snapshot"):
            read_state(file, spec)
    file.unlink()
    with pytest.raises(BadStateFile, match="cannot read"):
        read_state(file, spec)


def test_an_oversized_file_is_refused_unread(file: Path) -> None:
    with file.open("r+b") as sparse:
        sparse.truncate(STATE_BYTES_MAX + 1)
    with pytest.raises(BadStateFile, match="longer than"):
        read_state(file, fork().spec)


def test_a_specification_that_says_otherwise_than_the_state_is_refused(file: Path) -> None:
    spec = fork().spec
    raw = spec.genesis.raw_genesis
    assert raw is not None
    for wrong in (
        replace(spec, fork_id="another"),
        replace(spec, consensus=replace(spec.consensus, delta_ms=1)),
        replace(
            spec, genesis=replace(spec.genesis, raw_genesis=replace(raw, timestamp_ms=raw.timestamp_ms + 1))
        ),
        replace(spec, genesis=replace(spec.genesis, raw_genesis=replace(raw, validators=raw.validators[:1]))),
    ):
        with pytest.raises(BadStateFile, match="says otherwise"):
            read_state(file, wrong)


def test_whoever_has_the_same_block_gets_the_same_chain() -> None:
    one, other = fork(), fork()
    assert genesis_block(one.spec) == genesis_block(other.spec)
    assert genesis_block(one.spec).header != genesis_block(fork(seat("Ferdie"), seat("Eve")).spec).header


def test_impossible_validators_are_refused() -> None:
    with pytest.raises(SpecError, match="same account"):
        fork(seat("Eve"), seat("Eve"))
    with pytest.raises(ForkRefused, match="another account"):
        fork(replace(seat("Eve"), key=seat("Alice").key))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("$.genesis", {"runtimeGenesis": None, "rawGenesis": None}),
        ("$.genesis", {"runtimeGenesis": json.loads(spec_text(local()))["genesis"]["runtimeGenesis"]}),
        ("$.genesis.rawGenesis.specVersion", {"specVersion": 99}),
        ("$.genesis.rawGenesis.stateRootHash", {"stateRootHash": "0x12"}),
        ("$.genesis.rawGenesis.validators", {"validators": []}),
        ("$.genesis.rawGenesis", {"extra": 1}),
    ],
)
def test_a_wrong_raw_genesis_is_refused_with_its_path(path: str, change: dict[str, object]) -> None:
    document = json.loads(spec_text(fork().spec))
    genesis = document["genesis"]
    (genesis if path == "$.genesis" else genesis["rawGenesis"]).update(change)
    with pytest.raises(SpecError) as refused:
        parse_spec(json.dumps(document).encode())
    assert str(refused.value).partition(": ")[0] == path
