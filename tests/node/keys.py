"""The development keys, and extrinsics signed with them."""

from chainspec.spec import ChainSpec
from frame.metadata import encode_fields
from primitives.extrinsic import Call, Extrinsic, Mortality, SigningContext, sign_extrinsic
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.types import AccountId, Balance, BlockHash, BlockNumber, Nonce, SpecVersion
from runtime.constants import SPEC_VERSION
from runtime.runtime import Runtime

ALICE = SigningKey(seed_from_uri("//Alice"))
BOB = SigningKey(seed_from_uri("//Bob"))


def call(pallet: str, function: str, **arguments: object) -> Call:
    """A call by name, encoded as a client encodes it: from the metadata."""
    info = Runtime().metadata().pallet(pallet)
    found = next(one for one in info.calls if one.name == function)
    return Call(info.index, found.index, encode_fields(found.parameters, arguments))


def transfer(spec: ChainSpec, genesis: BlockHash, nonce: int, amount: int) -> Extrinsic:
    """Alice sends Bob `amount` smallest units."""
    context = SigningContext(genesis, spec.fork_id, SpecVersion(SPEC_VERSION), genesis)
    sent = call("balances", "transfer", destination="0x" + BOB.public_key.hex(), amount=amount)
    return sign_extrinsic(ALICE, Nonce(nonce), Mortality(1000, BlockNumber(0)), Balance(0), sent, context)


def account(key: SigningKey) -> AccountId:
    """The account of a key."""
    return AccountId(key.public_key)
