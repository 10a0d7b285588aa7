"""What crm tells of campaigns, beside what is recorded: once each, nothing of who was erased, and in waves."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from tessera.crm.v1 import crm_service_pb2 as crm

from services.common.columnar import open_columnar
from services.common.store import open_store
from services.forecasting.adapters.activities import ACTIVITIES
from services.forecasting.adapters.events.campaigns import assigned
from services.forecasting.adapters.lines import ORDER_LINES
from services.forecasting.adapters.treatments import ERASED, TREATMENTS, ColumnarTreatments
from services.forecasting.app import Settings
from services.forecasting.domain.uplift import TIMES_MAX, Treatment, UpliftExperiment, waves

TABLES = [TREATMENTS, ORDER_LINES, ACTIVITIES]
HOUR = 3_600_000_000


@pytest.fixture
async def treatments(configure: Callable[..., Any]) -> AsyncIterator[ColumnarTreatments]:
    settings = configure(Settings)
    async with open_store(settings, [ERASED]) as store, open_columnar(settings, TABLES) as columnar:
        yield ColumnarTreatments(columnar, store)


def event(customer: str, state: crm.MessageState.ValueType, second: int, **more: Any) -> crm.MessageEvent:
    fields: dict[str, Any] = {"tenant_id": "acme", "campaign_id": "c1", "control_percent": 10} | more
    return crm.MessageEvent(customer_id=customer, state=state, event_time=Timestamp(seconds=second), **fields)


FIRST = crm.FollowMessagesResponse(
    cursor="1",
    events=[
        event("ann", crm.MESSAGE_STATE_QUEUED, 5),
        event("ann", crm.MESSAGE_STATE_SENT, 10),
        event("bob", crm.MESSAGE_STATE_FAILED, 11),
        event("cyd-now", crm.MESSAGE_STATE_HELD_BACK, 12, origin_customer_id="cyd"),
        event("dan", crm.MESSAGE_STATE_SKIPPED, 13),
        event("eve", crm.MESSAGE_STATE_SENT, 14, campaign_id="plain", control_percent=0),
        event("ann", crm.MESSAGE_STATE_SENT, 15, tenant_id="other"),
    ],
)


async def apply(treatments: ColumnarTreatments, batch: crm.FollowMessagesResponse) -> None:
    await treatments.apply(list(assigned(batch)), batch.cursor)


async def test_a_batch_is_applied_once_with_its_cursor(treatments: ColumnarTreatments) -> None:
    for _ in range(2):
        await apply(treatments, FIRST)
    assert await treatments.cursor() == "1"
    found = UpliftExperiment("campaign:c1", 2, 1, 10_000_000, 12_000_000)
    assert await treatments.experiments("acme") == [found]
    assert found.campaign_id == "c1"
    assert (await treatments.treatments("acme", "campaign:c1"))[0] == [
        Treatment("ann", True, 10_000_000),
        Treatment("bob", True, 11_000_000),
        Treatment("cyd", False, 12_000_000),
    ]
    assert await treatments.has("acme", "campaign:c1")
    assert not await treatments.has("acme", "campaign:plain")
    await treatments.apply((), "")  # crm lost its data: what is told again takes the place of what was
    await apply(treatments, FIRST)
    assert await treatments.experiments("acme") == [found]


async def test_recorded_experiments_come_before_campaigns_and_of_these_the_newest_first(
    treatments: ColumnarTreatments,
) -> None:
    later = [event("ann", crm.MESSAGE_STATE_SENT, 30, campaign_id=each) for each in ("c0", "c2")]
    later[1].event_time.seconds = 40
    await apply(treatments, FIRST)
    await apply(treatments, crm.FollowMessagesResponse(cursor="2", events=later))
    await treatments.record("acme", "r1", "zoo", [Treatment("ann", True, 5)])
    names = [it.experiment_id for it in await treatments.experiments("acme")]
    assert names == ["zoo", "campaign:c2", "campaign:c0", "campaign:c1"]


async def test_what_crm_still_tells_of_who_was_erased_is_not_kept(treatments: ColumnarTreatments) -> None:
    assert await treatments.forget("acme", ["cyd"]) == 0
    await apply(treatments, FIRST)
    assert await treatments.of_customer("acme", ["cyd"]) == []
    assert await treatments.cursor() == "1"
    assert await treatments.forget("acme", ["ann", "cyd"]) == 1
    again = crm.FollowMessagesResponse(cursor="2", events=[event("ann", crm.MESSAGE_STATE_SENT, 10)])
    await apply(treatments, again)
    assert [it.treated_count for it in await treatments.experiments("acme")] == [1]
    assert len(await treatments.of_customer("other", ["ann"])) == 1


@given(st.lists(st.integers(0, 40 * 24 * HOUR), max_size=80))
def test_waves_begin_with_their_first_treatment_and_are_as_short_as_they_may(times: list[int]) -> None:
    rows = [Treatment(str(number), number % 2 == 0, at) for number, at in enumerate(times)]
    found, length = waves(rows)
    assert [(it.customer_id, it.treated) for it in found] == [(it.customer_id, it.treated) for it in rows]
    count = len({it.time for it in found})
    if not length:
        assert found == rows
        assert count <= TIMES_MAX
        return
    span = {"an hour": HOUR, "six hours": 6 * HOUR, "a day": 24 * HOUR}[length]
    assert count <= TIMES_MAX or length == "a day"
    assert all(0 <= was.time - it.time < span for was, it in zip(rows, found, strict=True))
    assert {it.time for it in found} <= set(times)
    shorter = {"an hour": 1, "six hours": HOUR, "a day": 6 * HOUR}[length]
    assert len({at // shorter for at in times}) > TIMES_MAX
