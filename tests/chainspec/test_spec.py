"""Chain specifications: what is read, what is refused and where, and what block 0 becomes."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chainspec.presets import PRESETS, WIDE, Network, build_spec, dev, local
from chainspec.spec import (
    SPEC_BYTES_MAX,
    ChainSpec,
    SpecError,
    genesis_changes,
    genesis_committee,
    genesis_config,
    genesis_header,
    parse_spec,
    spec_text,
)
from frame.state import DictState
from frame.validators import Validator
from pallets.session import Engine
from primitives.block import block_hash
from primitives.committee import committee_root
from primitives.hashing import blake2b_256
from primitives.ss58 import decode_address
from primitives.types import AccountId, Balance, Hash, PublicKey, Stake
from runtime.constants import TOKEN
from runtime.runtime import Runtime

ALICE = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
BOB = "5GoNkf6WdbxCFnPdAnYYQyCjAKPJgLNxXwPjwTh6DGg6gN3E"
CONFIG = ("genesis", "runtimeGenesis", "config")
Edit = Callable[[dict[str, Any]], None]


def at(*path: str | int, value: Any) -> Edit:
    """Set one value of the document."""

    def edit(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return edit


def without(*path: str | int) -> Edit:
    """Remove one key of the document."""

    def edit(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return edit


def edited(edit: Edit) -> bytes:
    document = json.loads(spec_text(local()))
    edit(document)
    return json.dumps(document).encode()


def genesis_hash(spec: ChainSpec) -> bytes:
    """With a stand-in for the state root that depends on the whole state."""
    return block_hash(genesis_header(spec, Hash(blake2b_256(repr(genesis_changes(spec)).encode()))))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_survives_its_file(name: str) -> None:
    spec = PRESETS[name]()
    assert spec.id == name
    assert parse_spec(spec_text(spec)) == spec


def test_the_dev_chain_has_one_validator_and_the_local_one_four() -> None:
    assert [genesis_config(spec).session.consensus.engine for spec in (dev(), local())] == [
        Engine.INSTANT,
        Engine.SIMPLEX,
    ]
    assert [len(genesis_committee(spec).members) for spec in (dev(), local())] == [1, 4]


def test_endowments_are_whole_or_decimal_tokens() -> None:
    spec = parse_spec(edited(at(*CONFIG, "balances", "endowments", 0, "tokens", value="1.000000005")))
    assert genesis_config(spec).balances[0].amount == TOKEN + 5


def test_block_zero_commits_to_the_first_committee() -> None:
    header = genesis_header(local(), Hash(b"\x01" * 32))
    assert header.next_set == committee_root(genesis_committee(local()))
    assert (header.epoch, header.view, header.height, header.state_root) == (0, 0, 0, b"\x01" * 32)


def test_the_genesis_state_keeps_every_invariant() -> None:
    state = DictState()
    state.apply(genesis_changes(local()))
    Runtime().check_state(state)
    assert Runtime().query(state, "session.parameters") == genesis_config(local()).session.consensus


def test_a_network_is_built_from_its_validators() -> None:
    who = AccountId(b"\x01" * 32)
    seat = Validator(who, PublicKey(b"\x02" * 32), Stake(7))
    spec = build_spec(
        Network(
            name="Testnet",
            id="testnet",
            chain_type="Live",
            consensus=WIDE,
            validators=[seat],
            endowments={who: 3},
            genesis_ms=1_800_000_000_000,
            boot_nodes=["/ip4/127.0.0.1/tcp/30333"],
            fork_id="one",
        )
    )
    config = genesis_config(spec)
    assert config.session.validators == (seat,)
    assert [(one.account, one.amount) for one in config.balances] == [(who, Balance(3 * TOKEN))]
    assert (config.timestamp_ms, config.system.fork_id) == (1_800_000_000_000, "one")
    assert genesis_header(spec, Hash(bytes(32))).timestamp_ms == 1_800_000_000_000


def test_a_specification_without_sudo_has_nobody_as_root() -> None:
    spec = parse_spec(edited(without(*CONFIG, "sudo")))
    assert genesis_config(spec).sudo is None
    assert parse_spec(spec_text(spec)) == spec
    state = DictState()
    state.apply(genesis_changes(spec))
    assert Runtime().query(state, "sudo.account") is None


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_alice_is_root_of_a_preset(name: str) -> None:
    state = DictState()
    state.apply(genesis_changes(PRESETS[name]()))
    assert Runtime().query(state, "sudo.account") == decode_address(ALICE)


TAMPERED: list[Edit] = [
    at("forkId", value="other"),
    at("consensus", "blockTimeMs", value=501),
    at("consensus", "deltaMs", value=201),
    at("consensus", "epochLength", value=21),
    at(*CONFIG, "balances", "endowments", 0, "tokens", value="1000000.000000001"),
    at(*CONFIG, "session", "validators", 1, "stake", value=2),
    at(*CONFIG, "session", "validators", 1, "sessionKey", value="0x" + "11" * 32),
    at(*CONFIG, "timestamp", "nowMs", value=1),
    at(*CONFIG, "sudo", "key", value=BOB),
    at(*CONFIG, "sudo", value=None),
    without(*CONFIG, "balances", "endowments", 5),
]


@pytest.mark.parametrize("edit", TAMPERED)
def test_a_tampered_specification_is_another_chain(edit: Edit) -> None:
    assert genesis_hash(parse_spec(edited(edit))) != genesis_hash(local())


def test_boot_nodes_and_names_do_not_change_the_chain() -> None:
    for edit in (at("name", value="Other"), at("bootNodes", value=["/ip4/127.0.0.1/tcp/1"])):
        assert genesis_hash(parse_spec(edited(edit))) == genesis_hash(local())


REFUSED: list[tuple[str, Edit]] = [
    ("$", at("extra", value=1)),
    ("$.consensus", at("consensus", "extra", value=1)),
    ("$.genesis.runtimeGenesis.config", at(*CONFIG, "nothing", value={})),
    ("$", without("forkId")),
    ("$.id", at("id", value="../etc")),
    ("$.id", at("id", value="dev\n")),
    ("$.chainType", at("chainType", value="Toy")),
    ("$.bootNodes[0]", at("bootNodes", value=["somewhere"])),
    ("$.properties.tokenDecimals", at("properties", "tokenDecimals", value=12)),
    ("$.properties.ss58Format", at("properties", "ss58Format", value=64)),
    ("$.consensus.engine", at("consensus", "engine", value="instant")),
    ("$.consensus.engine", at("consensus", "engine", value="grandpa")),
    ("$.consensus.blockTimeMs", at("consensus", "blockTimeMs", value=0)),
    ("$.consensus.epochLength", at("consensus", "epochLength", value=-1)),
    ("$.consensus.deltaMs", at("consensus", "deltaMs", value=1.5)),
    ("$.genesis.runtimeGenesis.specVersion", at("genesis", "runtimeGenesis", "specVersion", value=99)),
    (
        "$.genesis.runtimeGenesis.config.balances.endowments[0].account",
        at(*CONFIG, "balances", "endowments", 0, "account", value=ALICE[:-1] + "x"),
    ),
    (
        "$.genesis.runtimeGenesis.config.balances.endowments[1].account",
        at(*CONFIG, "balances", "endowments", 1, "account", value=ALICE),
    ),
    (
        "$.genesis.runtimeGenesis.config.balances.endowments[2].tokens",
        at(*CONFIG, "balances", "endowments", 2, "tokens", value="0.00001"),
    ),
    (
        "$.genesis.runtimeGenesis.config.balances.endowments[2].tokens",
        at(*CONFIG, "balances", "endowments", 2, "tokens", value="1e9"),
    ),
    (
        "$.genesis.runtimeGenesis.config.balances.endowments",
        at(*CONFIG, "balances", "endowments", 2, "tokens", value="9999999999"),
    ),
    (
        "$.genesis.runtimeGenesis.config.session.validators",
        at(*CONFIG, "session", "validators", value=[]),
    ),
    (
        "$.genesis.runtimeGenesis.config.session.validators",
        at(*CONFIG, "session", "validators", 1, "account", value=ALICE),
    ),
    (
        "$.genesis.runtimeGenesis.config.session.validators[0].sessionKey",
        at(*CONFIG, "session", "validators", 0, "sessionKey", value="0x12"),
    ),
    (
        "$.genesis.runtimeGenesis.config.session.validators[0].stake",
        at(*CONFIG, "session", "validators", 0, "stake", value=0),
    ),
    (
        "$.genesis.runtimeGenesis.config.session.validators",
        at(*CONFIG, "session", "validators", 0, "stake", value=2**63 - 1),
    ),
    ("$.genesis.runtimeGenesis.config.sudo.key", at(*CONFIG, "sudo", "key", value=ALICE[:-1] + "x")),
    ("$.genesis.runtimeGenesis.config.sudo.key", at(*CONFIG, "sudo", "key", value=None)),
    ("$.genesis.runtimeGenesis.config.sudo", at(*CONFIG, "sudo", value={})),
    ("$.genesis.runtimeGenesis.config.sudo", at(*CONFIG, "sudo", "who", value=ALICE)),
]


@pytest.mark.parametrize(("path", "edit"), REFUSED)
def test_a_wrong_value_is_refused_with_its_path(path: str, edit: Edit) -> None:
    with pytest.raises(SpecError) as refused:
        parse_spec(edited(edit))
    assert str(refused.value).partition(": ")[0] == path


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_specification_is_refused(data: bytes) -> None:
    with pytest.raises(SpecError):
        parse_spec(data)


def test_an_oversized_file_is_refused_unread() -> None:
    with pytest.raises(SpecError, match="at most"):
        parse_spec(b" " * (SPEC_BYTES_MAX + 1))
