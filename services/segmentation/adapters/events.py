"""Following profiles and forecasting: what they tell becomes rows, and the customers that it touches are evaluated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import grpc
import orjson
import pyarrow as pa
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting
from tessera.forecasting.v1 import uplift_pb2
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.profiles.v1 import consent_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.columnar import Table
from services.common.feed import follow
from services.segmentation.adapters.analytics import FOLLOWER, ColumnarAnalytics
from services.segmentation.adapters.group_rows import Belonged, Described, group_rows
from services.segmentation.adapters.messages import FOLLOWER as CRM
from services.segmentation.adapters.messages import MESSAGES, Sent, message_rows
from services.segmentation.adapters.predictions import FOLLOWER as FORECASTING
from services.segmentation.adapters.predictions import ColumnarPredictions, Told
from services.segmentation.adapters.tables import Computed, Consented, Observed, owned, rows
from services.segmentation.ports.predictions import CategoryPreference, Prediction, Propensity, Uplift

Touch = Callable[[str, set[str]], None]
"""Hears which customers of a tenant were touched."""
Stream = Callable[[str], AsyncIterator[pb.FollowChangesResponse]]
"""Batches of profiles' feed after a cursor."""


@dataclass(frozen=True, slots=True)
class Erased:
    """A person is to be forgotten."""

    tenant: str
    erasure_id: str
    customer_ids: frozenset[str]
    """The customer and all origins."""


Erase = Callable[[Erased], Awaitable[None]]
"""Removes everything of a person and says so; again, it changes nothing."""


def profiles_stream(channel: grpc.aio.Channel) -> Stream:
    """The feed of all tenants."""
    stub = ProfilesServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[pb.FollowChangesResponse]:
        async for batch in stub.FollowChanges(pb.FollowChangesRequest(after_cursor=cursor)):
            yield batch

    return stream


class Follower:
    """Applies profiles' feed. ``touch`` hears of the customers of each batch once its rows are stored."""

    def __init__(self, stream: Stream, analytics: ColumnarAnalytics, touch: Touch, erase: Erase) -> None:
        self._stream, self._analytics, self._touch, self._erase = stream, analytics, touch, erase
        self._applying = False
        self._caught_up = False
        self._left: dict[str, set[str]] = {}
        """Who was in a group with somebody who was erased, until they are told to ``touch``."""

    @property
    def settled(self) -> bool:
        """Whether everything that was applied was also told to ``touch``."""
        return not self._applying

    @property
    def caught_up(self) -> bool:
        """Whether the last batch was the newest."""
        return self._caught_up

    async def run(self) -> None:
        """Follow for ever."""
        load: Callable[[], Awaitable[str]] = self._analytics.applied_cursor
        await follow(f"segmentation.{FOLLOWER}", load, self._stream, self.apply)

    async def apply(self, batch: pb.FollowChangesResponse) -> None:
        """Store a batch with its cursor, then tell whom it touched."""
        self._applying = True
        try:
            heard = await asyncio.to_thread(_heard, batch.changes)
            added = await asyncio.to_thread(heard.rows)
            amendments = owned(heard.owners) if heard.owners else []
            for erased in heard.erased:
                left = await self._analytics.fellows(erased.tenant, erased.customer_ids)
                self._left.setdefault(erased.tenant, set()).update(left)
                await self._erase(erased)
            await self._analytics.apply(added, amendments, FOLLOWER, batch.cursor)
            self._caught_up = batch.caught_up
            for tenant, group_ids in heard.groups.items():
                heard.touch(tenant, *await self._analytics.members_of(tenant, group_ids))
            for tenant, customer_ids in (*heard.touched.items(), *self._left.items()):
                self._touch(tenant, customer_ids - heard.gone(tenant))
            self._left.clear()
        finally:
            self._applying = False


@dataclass(slots=True)
class _Heard:
    """What a batch says, by kind."""

    observed: list[Observed] = field(default_factory=list)
    computed: list[Computed] = field(default_factory=list)
    consented: list[Consented] = field(default_factory=list)
    described: list[Described] = field(default_factory=list)
    belonged: list[Belonged] = field(default_factory=list)
    owners: dict[tuple[str, str], str] = field(default_factory=dict)
    """To whom the origins of a tenant belong after the batch, where it says so."""
    erased: list[Erased] = field(default_factory=list)
    touched: dict[str, set[str]] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, set[str]]:
        """The groups of each tenant of which something was said."""
        found: dict[str, set[str]] = {}
        for each in self.described:
            found.setdefault(each.tenant, set()).add(each.group_id)
        return found

    def rows(self) -> dict[Table, pa.Table]:
        """What is added to each table."""
        added = rows(self.observed, self.computed, self.consented)
        return added | group_rows(self.described, self.belonged)

    def gone(self, tenant: str) -> set[str]:
        """Who is erased."""
        return set[str]().union(*(each.customer_ids for each in self.erased if each.tenant == tenant))

    def touch(self, tenant: str, *customer_ids: str) -> None:
        self.touched.setdefault(tenant, set()).update(customer_ids)

    def own(self, tenant: str, origins: Iterable[str], customer_id: str) -> None:
        self.owners.update(((tenant, origin), customer_id) for origin in origins)

    def forget(self, erased: Erased) -> None:
        """What the batch said of the person before is not stored either."""
        self.erased.append(erased)

        def stays(told: Observed | Computed | Consented | Belonged) -> bool:
            named = {told.customer_id, getattr(told, "origin_id", "")}
            return told.tenant != erased.tenant or not named & erased.customer_ids

        self.observed = [each for each in self.observed if stays(each)]
        self.computed = [each for each in self.computed if stays(each)]
        self.consented = [each for each in self.consented if stays(each)]
        self.belonged = [each for each in self.belonged if stays(each)]
        self.touched.get(erased.tenant, set()).difference_update(erased.customer_ids)


def _heard(changes: Iterable[pb.Change]) -> _Heard:
    heard = _Heard()
    for change in changes:
        match change.WhichOneof("kind"):
            case "event_recorded":
                heard.observed.append(_observed(change.tenant_id, change.event_recorded))
                heard.touch(change.tenant_id, change.event_recorded.customer_id)
            case "computed_trait_changed":
                heard.computed.append(_computed(change.tenant_id, change.computed_trait_changed))
                heard.touch(change.tenant_id, change.computed_trait_changed.customer_id)
            case "consent_changed":
                heard.consented.append(_consented(change.tenant_id, change.consent_changed))
                heard.touch(change.tenant_id, change.consent_changed.customer_id)
            case "group_traits_changed":
                heard.described.append(_described(change.tenant_id, change.group_traits_changed))
            case "group_membership_changed":
                heard.belonged.append(_belonged(change.tenant_id, change.group_membership_changed))
                heard.touch(change.tenant_id, change.group_membership_changed.customer_id)
            case "customers_merged":
                merged = change.customers_merged
                heard.own(change.tenant_id, merged.origin_customer_ids, merged.customer_id)
                heard.touch(change.tenant_id, merged.customer_id, merged.merged_customer_id)
            case "customers_unmerged":
                parted = change.customers_unmerged
                heard.own(change.tenant_id, parted.origin_customer_ids, parted.restored_customer_id)
                heard.touch(change.tenant_id, parted.customer_id, parted.restored_customer_id)
            case "customer_erased":
                gone = change.customer_erased
                ids = frozenset({gone.customer_id, *gone.origin_customer_ids})
                heard.forget(Erased(change.tenant_id, gone.erasure_id, ids))
    return heard


def _observed(tenant: str, event: pb.RecordedEvent) -> Observed:
    return Observed(
        tenant=tenant,
        customer_id=event.customer_id,
        message_id=event.message_id,
        type=event.type,
        name=event.name,
        time=_micros(event.event_time),
        content=orjson.loads(event.properties_json) if event.properties_json else {},
        origin_id=event.origin_customer_id or event.customer_id,
    )


def _computed(tenant: str, change: pb.ComputedTraitChanged) -> Computed:
    value = orjson.loads(change.value_json) if change.value_json else None
    return Computed(tenant, change.customer_id, change.name, _micros(change.change_time), value)


def _consented(tenant: str, change: pb.ConsentChanged) -> Consented:
    return Consented(
        tenant,
        change.customer_id,
        change.origin_customer_id or change.customer_id,
        change.purpose,
        change.channel,
        _micros(change.change_time),
        change.state == consent_pb2.CONSENT_STATE_GRANTED,
    )


def _described(tenant: str, change: pb.GroupTraitsChanged) -> Described:
    return Described(tenant, change.group_id, _micros(change.change_time), orjson.loads(change.traits_json or "{}"))


def _belonged(tenant: str, change: pb.GroupMembershipChanged) -> Belonged:
    return Belonged(
        tenant,
        change.customer_id,
        change.origin_customer_id or change.customer_id,
        change.group_id,
        _micros(change.change_time),
        change.member,
    )


def _micros(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000


GATHERED_MAX = 50_000
"""How many customers are gathered at most, while there is more to come, before segments are evaluated for them."""

PredictionStream = Callable[[str], AsyncIterator[forecasting.FollowPredictionsResponse]]
"""Batches of forecasting's feed after a cursor."""
Changed = Callable[[str, set[str]], Awaitable[None]]
"""Hears of which customers of a tenant something else is predicted."""


def predictions_stream(channel: grpc.aio.Channel) -> PredictionStream:
    """The feed of all tenants."""
    stub = ForecastingServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[forecasting.FollowPredictionsResponse]:
        async for batch in stub.FollowPredictions(forecasting.FollowPredictionsRequest(after_cursor=cursor)):
            yield batch

    return stream


class PredictionFollower:
    """Applies forecasting's feed. ``changed`` hears of the customers once all that is known of them is stored."""

    def __init__(self, stream: PredictionStream, predictions: ColumnarPredictions, changed: Changed) -> None:
        self._stream, self._predictions, self._changed = stream, predictions, changed
        self._gathered: dict[str, set[str]] = {}

    async def run(self) -> None:
        """Follow for ever."""
        name, begin_again = f"segmentation.{FORECASTING}", self._predictions.begin_again
        await follow(name, self._resume, self._stream, self.apply, begin_again)

    async def _resume(self) -> str:
        await self._pass_on()  # whom a failure kept from it
        return await self._predictions.cursor()

    async def apply(self, batch: forecasting.FollowPredictionsResponse) -> None:
        """Store a batch with its cursor; after the newest, pass on of whom it tells."""
        told = {(each.tenant_id, each.customer_id): _told(each) for each in batch.changes}
        await self._predictions.apply(told.values(), batch.cursor)
        for tenant, customer_id in told:
            self._gathered.setdefault(tenant, set()).add(customer_id)
        if batch.caught_up or sum(map(len, self._gathered.values())) >= GATHERED_MAX:
            await self._pass_on()

    async def _pass_on(self) -> None:
        while self._gathered:
            tenant = next(iter(self._gathered))
            await self._changed(tenant, self._gathered[tenant])
            del self._gathered[tenant]


def _told(change: forecasting.PredictionChange) -> Told:
    prediction = _prediction(change.prediction) if change.HasField("prediction") else None
    likely = [
        Propensity(it.model_id, _micros(it.as_of_time), it.probability, it.percentile) for it in change.propensities
    ]
    said = change.category_preferences
    liked = [
        CategoryPreference(it.category, _micros(said.as_of_time), it.probability, place)
        for place, it in enumerate(said.categories, start=1)
    ]
    moved = [
        Uplift(it.model_id, _micros(it.as_of_time), it.uplift.value, it.percentile, _answer(it.group))
        for it in change.uplifts
    ]
    return Told(change.tenant_id, change.customer_id, prediction, likely, liked, moved)


def _answer(group: uplift_pb2.UpliftGroup.ValueType) -> str:
    return uplift_pb2.UpliftGroup.Name(group).removeprefix("UPLIFT_GROUP_").lower()


def _prediction(told: forecasting.CustomerPrediction) -> Prediction:
    due = told.expected_next_order_time
    return Prediction(
        customer_id=told.customer_id,
        time=_micros(told.as_of_time),
        alive=told.probability_alive,
        churn_probability=told.churn_probability,
        expected_orders=told.expected_orders,
        currency=told.expected_revenue.currency,
        expected_order_value_minor=told.expected_order_value.amount_minor,
        expected_revenue_minor=told.expected_revenue.amount_minor,
        lifetime_value_minor=told.lifetime_value.amount_minor,
        next_order_time=_micros(due) if told.HasField("expected_next_order_time") else None,
        version=told.version,
    )


MessageStream = Callable[[str], AsyncIterator[crm.FollowMessagesResponse]]
"""Batches of crm's feed after a cursor."""


def messages_stream(channel: grpc.aio.Channel) -> MessageStream:
    """The feed of all tenants."""
    stub = CrmServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[crm.FollowMessagesResponse]:
        async for batch in stub.FollowMessages(crm.FollowMessagesRequest(after_cursor=cursor)):
            yield batch

    return stream


class MessageFollower:
    """Applies crm's feed: of each message that left, a row. No rule asks for them, so nobody is evaluated."""

    def __init__(self, stream: MessageStream, analytics: ColumnarAnalytics) -> None:
        self._stream, self._analytics = stream, analytics

    async def run(self) -> None:
        """Follow for ever."""
        load = partial(self._analytics.cursor, CRM)
        await follow(f"segmentation.{CRM}", load, self._stream, self.apply, self._begin_again)

    async def _begin_again(self) -> None:
        await self._analytics.apply_listed(message_rows([]), CRM, "", MESSAGES)

    async def apply(self, batch: crm.FollowMessagesResponse) -> None:
        """Store a batch with its cursor."""
        sent = [
            Sent(
                each.tenant_id,
                each.origin_customer_id or each.customer_id,
                each.message_id,
                each.campaign_id,
                _micros(each.event_time),
            )
            for each in batch.events
            if each.state == crm.MESSAGE_STATE_SENT
        ]
        await self._analytics.apply_listed(message_rows(sent), CRM, batch.cursor, MESSAGES)
