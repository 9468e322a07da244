import asyncio
import math

import pytest

from wholebody.errors import WholebodyError
from wholebody.serve.limits import Allowance, Budget, Limits


@pytest.mark.parametrize(
    "wrong",
    [{"queue": 0}, {"seconds": -1}, {"seconds": math.inf}, {"pixels": 200_000_000}, {"held_bytes": 1}],
)
def test_limits_that_make_no_sense(wrong):
    with pytest.raises(WholebodyError, match=next(iter(wrong))):
        Limits(**wrong)


def test_an_allowance_is_given_back():
    allowance = Allowance(10)
    with allowance.share() as one, allowance.share() as two:
        assert one.take(6) and not two.take(5) and two.take(4) and not one.take(1)
    assert allowance.left == 10


def test_a_budget_is_shared_in_order():
    async def run():
        budget, order = Budget(10), []

        async def need(name, amount):
            await budget.take(amount)
            order.append(name)

        await need("a", 7)
        waiting = [asyncio.ensure_future(need(name, amount)) for name, amount in (("b", 5), ("c", 2), ("d", 9))]
        await asyncio.sleep(0)
        assert order == ["a"]  # c would fit, but it is not its turn
        budget.give(7)
        await asyncio.sleep(0)
        assert order == ["a", "b", "c"]
        budget.give(5)
        budget.give(2)
        await asyncio.gather(*waiting)
        assert order == ["a", "b", "c", "d"] and budget.left == 1

    asyncio.run(run())


def test_who_gives_up_waiting_holds_nothing():
    async def run():
        budget = Budget(10)
        await budget.take(8)
        large, small = (asyncio.ensure_future(budget.take(amount)) for amount in (9, 2))
        await asyncio.sleep(0)
        large.cancel()
        await small  # which was behind the large one
        assert budget.left == 0
        late = asyncio.ensure_future(budget.take(8))
        await asyncio.sleep(0)
        budget.give(8)  # it is granted,
        late.cancel()  # and gives up before it has seen that
        with pytest.raises(asyncio.CancelledError):
            await late
        assert budget.left == 8

    asyncio.run(run())
