"""Gas: root sets the price within bounds, and jobs are paid at the price of their time."""

import pytest

from frame.origin import BadOrigin, Nobody, Origin, Root, Signed
from pallets.gas.pallet import PriceOutOfRange, SlotPrices
from primitives.committee import MEMBERS_MAX
from primitives.types import U63_MAX, Balance
from runtime.constants import GAS, JOBS, MODELS
from tests.pallets.attested import INPUT, Attested, slot_fee
from tests.pallets.world import ALICE, World


def test_root_sets_the_price(world: World) -> None:
    gas = world.pallets.gas
    assert gas.price() == GAS.per_million_initial
    gas.set_price(Root(), Balance(7))
    assert world.events() == ["PriceChanged"]
    assert (gas.price(), gas.cost(1_000_000), gas.cost(1), gas.cost(0)) == (7, 7, 1, 0)
    gas.set_price(Root(), GAS.per_million_max)
    assert gas.cost(U63_MAX) == U63_MAX


@pytest.mark.parametrize("origin", [Signed(ALICE), Nobody()])
def test_nobody_else_does(world: World, origin: Origin) -> None:
    with pytest.raises(BadOrigin):
        world.pallets.gas.set_price(origin, Balance(7))
    assert world.pallets.gas.price() == GAS.per_million_initial


@pytest.mark.parametrize("price", [0, GAS.per_million_max + 1])
def test_a_price_out_of_range_is_refused(world: World, price: int) -> None:
    with pytest.raises(PriceOutOfRange):
        world.pallets.gas.set_price(Root(), Balance(price))
    assert (world.pallets.gas.price(), world.events()) == (GAS.per_million_initial, [])
    world.pallets.gas.set_price(Root(), GAS.per_million_max)


def test_root_sets_what_a_place_costs(world: World) -> None:
    gas = world.pallets.gas
    assert gas.slot_prices() == GAS.slot_initial
    gas.set_slot_prices(Root(), Balance(5), Balance(0))
    assert world.events() == ["SlotPricesChanged"]
    assert (gas.slot_prices(), gas.slot_fee(10)) == (SlotPrices(Balance(5), Balance(0)), 5)
    gas.set_slot_prices(Root(), GAS.slot_max.per_job, GAS.slot_max.per_byte)
    assert gas.slot_fee(JOBS.open_bytes_max) < U63_MAX
    assert gas.slot_fee(U63_MAX) == U63_MAX


def test_a_place_costs_every_byte_and_no_other(world: World) -> None:
    world.pallets.gas.set_slot_prices(Root(), Balance(5), Balance(3))
    assert [world.pallets.gas.slot_fee(size) for size in (0, 1, 10)] == [5, 8, 35]


def test_whatever_can_be_opened_costs_what_a_balance_can_count(world: World) -> None:
    gas, most = world.pallets.gas, GAS.slot_max
    gas.set_price(Root(), GAS.per_million_max)
    gas.set_slot_prices(Root(), most.per_job, most.per_byte)
    work, place = gas.price_of(JOBS.open_gas_max), gas.slot_fee(JOBS.open_bytes_max)
    assert max(MEMBERS_MAX * work, MODELS.deposit + work + place) <= U63_MAX


@pytest.mark.parametrize("origin", [Signed(ALICE), Nobody()])
def test_nobody_else_says_what_a_place_costs(world: World, origin: Origin) -> None:
    with pytest.raises(BadOrigin):
        world.pallets.gas.set_slot_prices(origin, Balance(5), Balance(0))
    assert world.pallets.gas.slot_prices() == GAS.slot_initial


@pytest.mark.parametrize(
    ("per_job", "per_byte"),
    [(0, 1), (GAS.slot_max.per_job + 1, 1), (1, GAS.slot_max.per_byte + 1)],
)
def test_a_place_is_never_free_nor_dearer_than_allowed(world: World, per_job: int, per_byte: int) -> None:
    with pytest.raises(PriceOutOfRange):
        world.pallets.gas.set_slot_prices(Root(), Balance(per_job), Balance(per_byte))
    assert (world.pallets.gas.slot_prices(), world.events()) == (GAS.slot_initial, [])


def test_a_job_is_paid_at_the_price_of_its_time() -> None:
    world = Attested()
    first = world.register()
    before = world.pallets.jobs.get(first)
    world.pallets.gas.set_price(Root(), Balance(2 * GAS.per_million_initial))
    assert world.pallets.jobs.get(first) == before
    assert before is not None
    assert world.pallets.jobs.reward(before.gas) == 2 * before.reward
    world.check_state()


def test_a_place_is_paid_at_the_price_of_its_time() -> None:
    world = Attested()
    world.prove()
    job = world.request()
    world.pallets.gas.set_slot_prices(Root(), Balance(5), Balance(0))
    world.abstain(job, *range(4))
    world.finalize()
    record = world.pallets.inference.receipt(job)
    assert record is not None
    assert record.fee == slot_fee(len(INPUT))
    world.check_state()
