"""What followers of predictions are told, over gRPC: by fits, by merges, by erasures."""

from datetime import timedelta

import grpc
import pytest
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.merge_pb2 import MergeCustomersRequest, UnmergeCustomerRequest
from tessera.profiles.v1.person_pb2 import Person

from tests.forecasting.conftest import Shop
from tests.forecasting.test_customer_value import FIRST, bought, fitted, listed
from tests.forecasting.test_customer_value import orders as histories
from tests.forecasting.test_servicer import refusal

DEADLINE_SECONDS = 60
BG_NBD = pb.PURCHASE_MODEL_BG_NBD


class Follower:
    """Holds what it was told, as any follower does."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.cursor = ""
        self.held: dict[str, pb.CustomerPrediction] = {}
        self.models: dict[int, pb.CustomerModel] = {}
        self.told: list[str] = []

    async def hear(self, count: int) -> None:
        """Wait until ``count`` more changes have come, and no more are known."""
        self.told = []
        request = pb.FollowPredictionsRequest(after_cursor=self.cursor)
        stream = self._shop.forecasting.FollowPredictions(
            request, metadata=self._shop.header(), timeout=DEADLINE_SECONDS
        )
        async for batch in stream:
            self.models |= {it.customer_model.version: it.customer_model for it in batch.models}
            for change in batch.changes:
                assert change.tenant_id == "acme"
                self.held.pop(change.customer_id, None)
                if change.HasField("prediction"):
                    self.held[change.customer_id] = change.prediction
            self.told += [change.customer_id for change in batch.changes]
            self.cursor = batch.cursor
            if len(self.told) >= count and batch.caught_up:
                break
        stream.cancel()


def orders() -> list[profiles.Event]:
    return histories(customers=50)


async def test_each_customer_is_told_once_with_the_model_that_predicted(shop: Shop) -> None:
    await shop.sell(orders())
    model = await fitted(shop, purchase_model=BG_NBD)
    follower = Follower(shop)
    await follower.hear(model.customer_count)
    expected = {it.customer_id: it for it in await listed(shop)}
    assert follower.held == expected
    assert sorted(follower.told) == sorted(expected)
    assert follower.models == {1: model}
    assert model.holdout.churn_auc > 0.5


async def test_a_fit_tells_only_who_is_expected_to_do_something_else(shop: Shop) -> None:
    await shop.sell(orders())
    await fitted(shop, horizon_days=60, purchase_model=BG_NBD)
    follower = Follower(shop)
    await follower.hear(len(await listed(shop)))
    again = pb.FitCustomerModelRequest(request_id="the same again", horizon_days=60, purchase_model=BG_NBD)
    job = (await shop.forecasting.FitCustomerModel(again, metadata=shop.header())).job
    assert (await shop.finished(job.job_id)).results["version"] == "2"
    await fitted(shop, horizon_days=30, purchase_model=BG_NBD)
    count = len(await listed(shop))
    await follower.hear(count)
    assert len(follower.told) == count  # of the second fit, which came to the same, nobody was told
    assert follower.held == {it.customer_id: it for it in await listed(shop)}
    late = Follower(shop)
    await late.hear(count)
    assert len(late.told) == count
    assert late.held == follower.held


async def test_who_has_no_orders_in_the_currency_of_the_newest_model_is_taken_back(shop: Shop) -> None:
    euros = [bought(f"e{n}", FIRST + timedelta(days=n + 9 * v), 20.0 + n, "EUR") for n in range(35) for v in range(3)]
    await shop.sell([*orders(), *euros])
    await fitted(shop, currency="USD", purchase_model=BG_NBD)
    follower = Follower(shop)
    await follower.hear(len(await listed(shop)))
    before = set(follower.held)
    await fitted(shop, currency="EUR", purchase_model=BG_NBD)
    await follower.hear(35 + len(before))
    assert set(follower.held) == {it.customer_id for it in await listed(shop)}
    assert len(follower.held) == 35
    assert not before & set(follower.held)


async def ids(shop: Shop, *users: str) -> list[str]:
    found = []
    for user in users:
        person = profiles.Identifier(type="user_id", value=user)
        request = profiles.GetCustomerRequest(identifier=person)
        found.append((await shop.profiles.GetCustomer(request, metadata=shop.header())).customer.customer_id)
    return found


async def test_a_merge_tells_both_customers_and_taking_it_back_tells_what_was_before(shop: Shop) -> None:
    await shop.sell(orders())
    await fitted(shop, purchase_model=BG_NBD)
    follower = Follower(shop)
    await follower.hear(len(await listed(shop)))
    before = dict(follower.held)
    one, other = await ids(shop, "u1", "u2")
    merge = MergeCustomersRequest(customer_id=one, merged_customer_ids=[other], request_id="m", reason="one person")
    done = await shop.profiles.MergeCustomers(merge, metadata=shop.header())
    await follower.hear(2)
    assert sorted(follower.told) == sorted([one, other])
    assert other not in follower.held
    assert follower.held[one].purchase_count > max(before[one].purchase_count, before[other].purchase_count)
    assert follower.held == {it.customer_id: it for it in await listed(shop)}
    back = UnmergeCustomerRequest(merge_id=done.merges[0].merge_id, request_id="u", reason="two people")
    await shop.profiles.UnmergeCustomer(back, metadata=shop.header())
    await follower.hear(2)
    for customer_id in (one, other):  # the same but for the last digits: rows of another number are added up
        was, now = before[customer_id], follower.held[customer_id]
        assert now.churn_probability == pytest.approx(was.churn_probability, rel=1e-9)
        assert (now.expected_revenue, now.purchase_count) == (was.expected_revenue, was.purchase_count)


async def test_a_merge_says_what_the_model_would_have_said_of_the_one_customer(shop: Shop) -> None:
    events = orders()
    await shop.sell(events)
    await fitted(shop, purchase_model=BG_NBD)
    follower = Follower(shop)
    await follower.hear(len(await listed(shop)))
    visits = sorted(event.event_time.seconds for event in events if event.user_id in ("u3", "u4"))
    one, other = await ids(shop, "u3", "u4")
    merge = MergeCustomersRequest(customer_id=one, merged_customer_ids=[other], request_id="m", reason="one person")
    await shop.profiles.MergeCustomers(merge, metadata=shop.header())
    await follower.hear(2)
    assert follower.held[one].purchase_count == len({seconds // 86400 for seconds in visits})
    assert follower.held[one].last_purchase_time.seconds == max(visits) // 86400 * 86400


async def test_what_was_told_of_a_person_who_is_erased_is_taken_back(shop: Shop) -> None:
    await shop.sell(orders())
    await fitted(shop, purchase_model=BG_NBD)
    follower = Follower(shop)
    await follower.hear(len(await listed(shop)))
    (gone,) = await ids(shop, "u5")
    erase = erasure_pb2.EraseCustomersRequest(persons=[Person(customer_id=gone)], request_id="e", reason="asked")
    await shop.profiles.EraseCustomers(erase, metadata=shop.header())
    await follower.hear(1)
    assert follower.told == [gone]
    assert gone not in follower.held
    late = Follower(shop)
    await late.hear(len(follower.held) + 1)
    assert late.held == follower.held


async def test_a_cursor_that_is_not_ours_is_refused(shop: Shop) -> None:
    request = pb.FollowPredictionsRequest(after_cursor="elsewhere")
    stream = shop.forecasting.FollowPredictions(request, metadata=shop.header())
    error = await refusal(stream.read())
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
