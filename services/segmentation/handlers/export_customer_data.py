"""Everything that is held about a person, in words that the person can read."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.clock import from_micros
from services.common.money import decimals
from services.segmentation.ports import Analytics, Lists, Memberships, Segments
from services.segmentation.ports.predictions import CategoryPreference, Prediction, Predictions, Propensity, Uplift

PAGE = 500


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a kind; ``content`` is JSON."""

    kind: str
    content: dict[str, Any]


async def export_customer_data(
    segments: Segments,
    memberships: Memberships,
    lists: Lists,
    analytics: Analytics,
    predictions: Predictions,
    tenant: str,
    customer_id: str,
    origins: Iterable[str],
) -> AsyncIterator[Sequence[Record]]:
    """Pages of records, those of a kind together; none is empty."""
    ids = list(dict.fromkeys([customer_id, *origins]))
    for start in range(0, len(ids), PAGE):
        page = await _memberships(segments, memberships, tenant, ids[start : start + PAGE])
        if page:
            yield page
    for who in ids:
        async for page in _changes(segments, memberships, tenant, who):
            yield page
    listed = [each for who in ids for each in await _lists(lists, tenant, who)]
    for start in range(0, len(listed), PAGE):
        yield listed[start : start + PAGE]
    rfm = (await analytics.rfm(tenant, "", None)).customers.get(customer_id)
    if rfm is not None:
        figures = {"days_since_last_order": rfm.recency_days, "orders": rfm.frequency, "score": rfm.cell}
        yield [Record("value_score", figures)]
    for start in range(0, len(ids), PAGE):
        if predicted := await predictions.of(tenant, ids[start : start + PAGE]):
            yield list(map(_predicted, predicted))
    likely: list[tuple[str, Propensity]] = []
    for start in range(0, len(ids), PAGE):
        likely += await predictions.likely(tenant, ids[start : start + PAGE])
    for start in range(0, len(likely), PAGE):
        yield [_likely(it) for _, it in likely[start : start + PAGE]]
    liked: list[tuple[str, CategoryPreference]] = []
    for start in range(0, len(ids), PAGE):
        liked += await predictions.liked(tenant, ids[start : start + PAGE])
    for start in range(0, len(liked), PAGE):
        yield [_liked(it) for _, it in liked[start : start + PAGE]]
    for start in range(0, len(ids), PAGE):
        moved = await predictions.moved(tenant, ids[start : start + PAGE])
        for first in range(0, len(moved), PAGE):
            yield [_moved(it) for _, it in moved[first : first + PAGE]]


async def _memberships(segments: Segments, memberships: Memberships, tenant: str, ids: Sequence[str]) -> list[Record]:
    standings = await memberships.standings(tenant, ids)
    entered = [(segment_id, time) for each in standings.values() for segment_id, time in each.segments.items()]
    names = await _names(segments, tenant, [segment_id for segment_id, _ in entered])
    return [
        Record("segment_membership", {"segment": names.get(segment_id, ""), "since": from_micros(time).isoformat()})
        for segment_id, time in entered
    ]


async def _changes(
    segments: Segments, memberships: Memberships, tenant: str, customer_id: str
) -> AsyncIterator[list[Record]]:
    after = ""
    while True:
        found, after = await memberships.history(tenant, customer_id, PAGE, after)
        names = await _names(segments, tenant, [change.segment_id for change in found])
        if found:
            yield [
                Record(
                    "membership_change",
                    {
                        "segment": names.get(change.segment_id, ""),
                        "what": "entered" if change.entered else "left",
                        "time": from_micros(change.time).isoformat(),
                    },
                )
                for change in found
            ]
        if not after:
            return


def _predicted(it: Prediction) -> Record:
    units = 10 ** decimals(it.currency)
    return Record(
        "prediction",
        {
            "as_of": from_micros(it.time).isoformat(),
            "churn_probability": round(it.churn_probability, 4),
            "expected_orders": round(it.expected_orders, 3),
            "expected_revenue": it.expected_revenue_minor / units,
            "lifetime_value": it.lifetime_value_minor / units,
            "currency": it.currency,
            "next_order": from_micros(it.next_order_time).isoformat() if it.next_order_time is not None else "",
        },
    )


def _likely(it: Propensity) -> Record:
    said = {"probability": round(it.probability, 4), "percentile": it.percentile}
    return Record("propensity", {"model": it.model_id, "as_of": from_micros(it.time).isoformat(), **said})


def _liked(it: CategoryPreference) -> Record:
    said = {"probability": round(it.probability, 4), "place": it.place}
    return Record("category_preference", {"category": it.category, "as_of": from_micros(it.time).isoformat(), **said})


def _moved(it: Uplift) -> Record:
    said = {"uplift": round(it.uplift, 4), "percentile": it.percentile, "group": it.answer}
    return Record("uplift", {"model": it.model_id, "as_of": from_micros(it.time).isoformat(), **said})


async def _lists(lists: Lists, tenant: str, customer_id: str) -> list[Record]:
    records = []
    for list_id, time in await lists.lists_of(tenant, customer_id):
        found = await lists.get(tenant, list_id)
        name = found.name if found else ""
        records.append(Record("list_membership", {"list": name, "since": from_micros(time).isoformat()}))
    return records


async def _names(segments: Segments, tenant: str, segment_ids: Iterable[str]) -> dict[str, str]:
    found = await segments.many(tenant, list(dict.fromkeys(segment_ids)))
    return {segment_id: segment.name for segment_id, segment in found.items()}
