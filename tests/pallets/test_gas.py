"""Gas: root sets the price within bounds, and jobs are paid at the price of their time."""

import pytest

from frame.origin import BadOrigin, Nobody, Origin, Root, Signed
from pallets.gas.pallet import PriceOutOfRange
from primitives.types import U63_MAX, Balance
from runtime.constants import GAS
from tests.pallets.attested import Attested
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


def test_a_job_is_paid_at_the_price_of_its_time() -> None:
    world = Attested()
    first = world.register()
    before = world.pallets.jobs.get(first)
    world.pallets.gas.set_price(Root(), Balance(2 * GAS.per_million_initial))
    assert world.pallets.jobs.get(first) == before
    assert before is not None
    assert world.pallets.jobs.reward(before.gas) == 2 * before.reward
    world.check_state()
