"""The metadata of the real runtime is complete, and enough to make a call."""

import msgspec

from frame.metadata import Metadata, decode_fields, decode_value, encode_fields
from runtime.constants import BALANCES, SPEC_VERSION
from runtime.pallets import PALLETS
from runtime.runtime import Runtime
from tests.runtime.chain import ALICE, BOB, Chain, account, transfer

METADATA = Runtime().metadata()


def test_it_names_the_runtime_and_every_pallet() -> None:
    assert (METADATA.spec_name, METADATA.spec_version, METADATA.token_decimals) == (
        "consilience",
        SPEC_VERSION,
        9,
    )
    assert {pallet.index: pallet.name for pallet in METADATA.pallets} == {
        index: pallet.NAME for index, pallet in PALLETS.items()
    }


def test_it_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(METADATA), type=Metadata) == METADATA


def test_everything_is_documented() -> None:
    for pallet in METADATA.pallets:
        for call in pallet.calls:
            assert call.docs, call.name
            assert all(parameter.docs for parameter in call.parameters), call.name
        documented = [pallet.docs, *(event.docs for event in pallet.events)]
        documented += [error.docs for error in pallet.errors] + [view.docs for view in pallet.views]
        assert all(documented), pallet.name


def test_constants_have_their_values() -> None:
    constants = {constant.name: constant.value for constant in METADATA.pallet("balances").constants}
    assert constants == {"existential_deposit": BALANCES.existential_deposit}


def test_a_transfer_is_made_and_explained_from_it_alone() -> None:
    pallet = METADATA.pallet("balances")
    info = next(call for call in pallet.calls if call.name == "transfer")
    values = {"destination": f"0x{account(BOB).hex()}", "amount": 5}
    data = encode_fields(info.parameters, values)
    assert (pallet.index, info.index, data) == (2, 0, transfer(account(BOB), 5).arguments)
    chain = Chain()
    (outcome,) = chain.grow(chain.sign(ALICE, transfer(account(BOB), 5))).outcome.calls
    reported = outcome.events[1]
    event = next(event for event in pallet.events if event.name == reported.event)
    assert decode_fields(event.fields, reported.fields) == {
        "source": f"0x{account(ALICE).hex()}",
        **values,
    }


def test_every_stored_value_can_be_read_with_it() -> None:
    chain = Chain()
    chain.grow(chain.sign(ALICE, transfer(account(BOB), 5)))
    items = {item.prefix: item for pallet in METADATA.pallets for item in pallet.storage}
    for key, value in chain.state.entries.items():
        decode_value(items[key[:16].hex()].value, value)
