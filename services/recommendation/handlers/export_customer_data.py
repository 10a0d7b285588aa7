"""Everything that is held about a person, in words that the person can read."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.clock import from_micros
from services.recommendation.domain.feedback import FeedbackKind
from services.recommendation.domain.open_list import OpenList
from services.recommendation.domain.signals import SignalKind
from services.recommendation.ports import Catalogue, FeedbackLog, Interactions, Models, OpenLists

PAGE = 500


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a kind; ``content`` is JSON."""

    kind: str
    content: dict[str, Any]


async def export_customer_data(
    catalogue: Catalogue,
    interactions: Interactions,
    models: Models,
    log: FeedbackLog,
    lists: OpenLists,
    tenant: str,
    ids: Sequence[str],
) -> AsyncIterator[Sequence[Record]]:
    """Pages of records, those of a kind together; none is empty."""
    offset = 0
    while lines := await interactions.lines_of(tenant, ids, PAGE, offset):
        titles = await catalogue.get_many(tenant, [line["item_id"] for line in lines])
        yield [
            _purchase(line, titles[line["item_id"]].item.title if line["item_id"] in titles else "") for line in lines
        ]
        offset += PAGE
    offset = 0
    while shown := await interactions.signals_of(tenant, ids, PAGE, offset):
        yield [_interest(row) for row in shown]
        offset += PAGE
    offset = 0
    while events := await log.of_person(tenant, ids, PAGE, offset):
        yield [_event(event) for event in events]
        offset += PAGE
    if open_lists := await lists.of_person(tenant, ids):
        yield [_list(each) for each in open_lists]
    live = await models.live(tenant)
    known = [customer_id for customer_id in ids if live and customer_id in live.model.customer_of]
    if live and known:
        sizes = (live.model.history_starts[code + 1] - live.model.history_starts[code]
                 for code in (live.model.customer_of[customer_id] for customer_id in known))  # fmt: skip
        yield [
            Record("model_history", {"products": int(size), "model": live.model.training.model_version})
            for size in sizes
        ][:PAGE]


def _list(page: OpenList) -> Record:
    content = {
        "products": page.answered,
        "placement": page.origin.placement_id,
        "looked_at": page.session_item_ids,
        "kept_until": from_micros(page.expire_time).isoformat(),
    }
    return Record("recommendation_list", content)


def _interest(row: dict[str, Any]) -> Record:
    content = {
        "product": row["item_id"],
        "what": SignalKind(row["kind"]).name.lower(),
        "time": from_micros(row["time"]).isoformat(),
    }
    return Record("interest", content)


def _event(event: dict[str, Any]) -> Record:
    content = {
        "product": event["item_id"],
        "what": FeedbackKind(event["kind"]).name.lower(),
        "time": from_micros(event["time"]).isoformat(),
        "placement": event["placement_id"],
        "experiment": event["experiment_id"],
        "variant": event["variant"],
        "position": event["position"] or None,
    }
    return Record("recommendation_feedback", content)


def _purchase(line: dict[str, Any], title: str) -> Record:
    content = {
        "product": line["item_id"],
        "title": title,
        "order": line["basket_id"],
        "time": from_micros(line["time"]).isoformat(),
        "quantity": line["quantity"],
        "amount_minor": line["amount_minor"],
        "currency": line["currency"],
    }
    return Record("purchase", content)
