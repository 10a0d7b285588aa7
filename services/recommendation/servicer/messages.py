"""What several rpcs of recommendation read and write alike."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import money_pb2
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.common.validation import FieldInvalid
from services.recommendation.domain.companions import Companion
from services.recommendation.domain.item import Item, ItemFilter, Money, PriceRange
from services.recommendation.domain.model import Pair
from services.recommendation.domain.recommendation import Reason, Recommendation, RecommendationList, Repeat
from services.recommendation.ports import Request, StoredItem

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE_DEFAULT = 100
COUNT_DEFAULT = 10
MICROS_A_SECOND = 1_000_000


def micros(span: Duration | Timestamp) -> int:
    """A length of time, or an instant, in microseconds."""
    return span.seconds * MICROS_A_SECOND + span.nanos // 1000


def duration(micros: int) -> Duration:
    """A length of time as messages carry it."""
    seconds, rest = divmod(micros, MICROS_A_SECOND)
    return Duration(seconds=seconds, nanos=rest * 1000)


def named(request: Message) -> Request:
    """The mutation as its caller named it."""
    request_id: str = request.request_id  # type: ignore[attr-defined]  # every mutation has one
    return Request(principal().tenant, request_id, fingerprint(request))


Number = TypeVar("Number", bound=IntEnum)


def known(kinds: type[Number], number: int, field: str) -> Number:
    """The member of an enum; ``FieldInvalid`` for a number that the contract does not know."""
    try:
        return kinds(number)
    except ValueError:
        raise FieldInvalid(f"{field}: {number} is none of the values of the contract", field=field) from None


def page_size(page_size: int) -> int:
    """How many to put into a page."""
    return page_size or PAGE_SIZE_DEFAULT


def timestamp(micros: int) -> Timestamp:
    """The instant as messages carry it."""
    seconds, rest = divmod(micros, MICROS_A_SECOND)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def read_item(item: item_pb.Item) -> Item:
    """The item of a message."""
    price = Money(item.price.currency, item.price.amount_minor) if item.HasField("price") else None
    return Item(
        item_id=item.item_id,
        title=item.title,
        categories=tuple(item.categories),
        brand=item.brand,
        price=price,
        attributes=dict(item.attributes),
        out_of_stock=item.out_of_stock,
        hidden=item.hidden,
        cost=Money(item.cost.currency, item.cost.amount_minor) if item.HasField("cost") else None,
        stock_quantity=item.stock_quantity if item.HasField("stock_quantity") else None,
        publish_time=micros(item.publish_time) if item.HasField("publish_time") else 0,
        expire_time=micros(item.expire_time) if item.HasField("expire_time") else 0,
    )


def item_message(stored: StoredItem) -> item_pb.Item:
    """An item as a message."""
    item = stored.item
    price = money_pb2.Money(currency=item.price.currency, amount_minor=item.price.amount_minor) if item.price else None
    return item_pb.Item(
        item_id=item.item_id,
        title=item.title,
        categories=item.categories,
        brand=item.brand,
        price=price,
        attributes=item.attributes,
        out_of_stock=item.out_of_stock,
        hidden=item.hidden,
        cost=money_pb2.Money(currency=item.cost.currency, amount_minor=item.cost.amount_minor) if item.cost else None,
        stock_quantity=item.stock_quantity,
        publish_time=timestamp(item.publish_time) if item.publish_time else None,
        expire_time=timestamp(item.expire_time) if item.expire_time else None,
        update_time=timestamp(stored.update_time),
    )


def read_filter(wanted: item_pb.ItemFilter) -> ItemFilter:
    """The filter of a message."""
    return ItemFilter(
        categories=frozenset(wanted.categories),
        brands=frozenset(wanted.brands),
        item_ids=frozenset(wanted.item_ids),
        excluded_item_ids=frozenset(wanted.excluded_item_ids),
        include_out_of_stock=wanted.include_out_of_stock,
        price=_price_range(wanted.price) if wanted.HasField("price") else None,
        attributes=tuple((each.name, frozenset(each.values)) for each in wanted.attributes),
    )


def filter_message(wanted: ItemFilter) -> item_pb.ItemFilter:
    """A filter as a message."""
    price = wanted.price
    return item_pb.ItemFilter(
        categories=sorted(wanted.categories),
        brands=sorted(wanted.brands),
        item_ids=sorted(wanted.item_ids),
        excluded_item_ids=sorted(wanted.excluded_item_ids),
        include_out_of_stock=wanted.include_out_of_stock,
        price=item_pb.PriceRange(currency=price.currency, min_minor=price.least, max_minor=price.most)
        if price
        else None,
        attributes=[item_pb.AttributeValues(name=name, values=sorted(values)) for name, values in wanted.attributes],
    )


def _price_range(wanted: item_pb.PriceRange) -> PriceRange:
    return PriceRange(
        wanted.currency,
        wanted.min_minor if wanted.HasField("min_minor") else None,
        wanted.max_minor if wanted.HasField("max_minor") else None,
    )


def list_message(answer: RecommendationList) -> list_pb.RecommendationList:
    """A list as a message. Items and reasons are written where they stay: a message that is handed over is copied, and
    lists are most of what is answered."""
    message = list_pb.RecommendationList(
        customer_id=answer.customer_id,
        model_version=answer.model_version,
        empty_reason=list_pb.EmptyReason.ValueType(answer.empty_reason),
        placement_version=answer.placement_version,
        recommendation_id=answer.recommendation_id,
        variant=answer.variant,
        relaxed_reason=list_pb.RelaxedReason.ValueType(answer.relaxed_reason),
        first_recommendation_id=answer.first_recommendation_id,
    )
    if answer.resumable_until:
        message.resumable_until_time.CopyFrom(timestamp(answer.resumable_until))
    _write_items(message, answer.items)
    return message


def _write_items(message: list_pb.RecommendationList, items: Iterable[Recommendation]) -> None:
    add = message.items.add
    for item in items:
        written = add(item_id=item.item_id, score=item.score)
        add_reason = written.reasons.add
        for reason in item.reasons:
            write_reason(add_reason(), reason)
        for each in item.applied:
            kind = list_pb.AppliedKind.ValueType(each.kind)
            written.applied.add(kind=kind, control_id=each.control_id, value=each.value)


def write_reason(written: list_pb.Reason, reason: Reason) -> None:
    """Write a reason where it stays."""
    written.kind, written.score = reason.kind, reason.score  # type: ignore[assignment]  # the same numbers
    if reason.source_item_ids:
        written.source_item_ids.extend(reason.source_item_ids)
    if reason.purchase_count:
        written.purchase_count = reason.purchase_count
    if reason.pair:
        written.association.CopyFrom(_association(reason.pair))
    if reason.repeat:
        written.repeat.CopyFrom(_repeat(reason.repeat))
    if reason.interaction:
        written.interaction = reason.interaction  # type: ignore[assignment]  # the same numbers
    if reason.available_time:
        written.available_time.CopyFrom(timestamp(reason.available_time))


def _association(pair: Pair | Companion) -> list_pb.Association:
    told = list_pb.Association(
        basket_count=pair.together,
        support=pair.support,
        confidence=pair.confidence,
        lift=pair.lift,
        leverage=pair.leverage,
        variant=list_pb.TOGETHER_VARIANT_STRICT,
    )
    if isinstance(pair, Companion):
        told.variant = list_pb.TOGETHER_VARIANT_RELAXED
        told.smoothed_lift, told.category_lift = pair.smoothed_lift, pair.category_lift
    return told


def _repeat(repeat: Repeat) -> list_pb.Repeat:
    return list_pb.Repeat(
        last_purchase_time=timestamp(repeat.last_time),
        interval_duration=duration(repeat.interval),
        due_time=timestamp(repeat.last_time + repeat.interval),
        probability=repeat.probability,
    )
