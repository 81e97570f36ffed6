"""The chains that need no file, and a builder for those that do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from chainspec.spec import (
    Address,
    Authority,
    BalancesConfig,
    ChainSpec,
    Consensus,
    Funded,
    Genesis,
    Key,
    PalletsConfig,
    Properties,
    RuntimeGenesis,
    SessionConfig,
    SudoConfig,
    TimestampConfig,
    parse_spec,
    spec_text,
)
from frame.validators import Validator
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.types import AccountId, PublicKey, Stake
from runtime.constants import SPEC_VERSION, TOKEN_DECIMALS

DEVELOPMENT_NAMES: Final = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")
"""`//Alice` and so on: keys that everybody knows."""

DEVELOPMENT_TOKENS: Final = 1_000_000

INSTANT: Final = Consensus(engine="instant", block_time_ms=1, delta_ms=100, epoch_length=100)
"""No votes: a block comes when there is something for it."""

LOCAL: Final = Consensus(engine="simplex", block_time_ms=500, delta_ms=200, epoch_length=20)
"""The pace of validators on one machine; short epochs, so that a few minutes see several."""

WIDE: Final = Consensus(engine="simplex", block_time_ms=2_000, delta_ms=1_000, epoch_length=300)
"""The pace of validators around the world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What makes one chain differ from another."""

    name: str
    id: str
    chain_type: Literal["Development", "Local", "Live"]
    consensus: Consensus
    validators: Sequence[Validator]
    endowments: Mapping[AccountId, int]
    """Whole tokens."""

    sudo: AccountId | None = None
    """Who may call as root; nobody, if left out."""

    genesis_ms: int = 0
    """Timestamp of block 0; a light client of a live chain needs the real one."""

    boot_nodes: Sequence[str] = ()
    fork_id: str = ""


def build_spec(network: Network) -> ChainSpec:
    """The specification of a chain, checked like a file. Raises SpecError."""
    endowments = tuple(
        Funded(account=Address(who), tokens=str(tokens)) for who, tokens in network.endowments.items()
    )
    authorities = tuple(
        Authority(account=Address(one.account), session_key=Key(one.key), stake=one.stake)
        for one in network.validators
    )
    config = PalletsConfig(
        balances=BalancesConfig(endowments=endowments),
        session=SessionConfig(validators=authorities),
        timestamp=TimestampConfig(now_ms=network.genesis_ms),
        sudo=None if network.sudo is None else SudoConfig(key=Address(network.sudo)),
    )
    spec = ChainSpec(
        name=network.name,
        id=network.id,
        chain_type=network.chain_type,
        boot_nodes=tuple(network.boot_nodes),
        properties=Properties(token_symbol="CNS", token_decimals=TOKEN_DECIMALS),
        fork_id=network.fork_id,
        consensus=network.consensus,
        genesis=Genesis(runtime_genesis=RuntimeGenesis(spec_version=SPEC_VERSION, config=config)),
    )
    return parse_spec(spec_text(spec))


def dev() -> ChainSpec:
    """One validator, //Alice, who is root too."""
    return _development_chain("Development", "dev", "Development", INSTANT, validators=1)


def local() -> ChainSpec:
    """Four validators, //Alice to //Dave, on one machine; //Alice is root."""
    return _development_chain("Local network", "local", "Local", LOCAL, validators=4)


PRESETS: Final[Mapping[str, Callable[[], ChainSpec]]] = {"dev": dev, "local": local}
"""By the name that `--chain` takes."""


def _development_chain(
    name: str, id: str, chain_type: Literal["Development", "Local"], consensus: Consensus, validators: int
) -> ChainSpec:
    keys = [SigningKey(seed_from_uri(f"//{person}")).public_key for person in DEVELOPMENT_NAMES]
    return build_spec(
        Network(
            name=name,
            id=id,
            chain_type=chain_type,
            consensus=consensus,
            validators=[_seat(key) for key in keys[:validators]],
            endowments={AccountId(key): DEVELOPMENT_TOKENS for key in keys},
            sudo=AccountId(keys[0]),
        )
    )


def _seat(key: PublicKey) -> Validator:
    """Account and session key of the well-known people are the same."""
    return Validator(AccountId(key), key, Stake(1))
