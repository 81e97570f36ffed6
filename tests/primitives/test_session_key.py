"""Possession of a session key is proved for one account on one chain."""

import pytest

from primitives.session_key import prove_possession, verify_possession
from primitives.signing import SigningKey
from primitives.types import AccountId, BlockHash, PublicKey, Seed

KEY = SigningKey(Seed(b"\x01" * 32))
OTHER = SigningKey(Seed(b"\x02" * 32)).public_key
GENESIS = BlockHash(b"\x03" * 32)
WHO = AccountId(b"\x04" * 32)


def test_the_holder_of_a_key_proves_it() -> None:
    assert verify_possession(KEY.public_key, GENESIS, WHO, prove_possession(KEY, GENESIS, WHO))


@pytest.mark.parametrize(
    ("key", "genesis", "account"),
    [
        (OTHER, GENESIS, WHO),
        (KEY.public_key, BlockHash(b"\x05" * 32), WHO),
        (KEY.public_key, GENESIS, AccountId(b"\x05" * 32)),
    ],
    ids=["another key", "another chain", "another account"],
)
def test_the_proof_is_good_for_nothing_else(key: PublicKey, genesis: BlockHash, account: AccountId) -> None:
    assert not verify_possession(key, genesis, account, prove_possession(KEY, GENESIS, WHO))
