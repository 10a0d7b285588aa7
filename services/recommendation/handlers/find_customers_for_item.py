"""Find who would buy an item."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import InvalidCursor
from services.recommendation.domain.audience import Audience
from services.recommendation.handlers.recommend import Sources
from services.recommendation.handlers.related import shelf_with
from services.recommendation.ports import AudienceQuestion

HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class CustomerForItem:
    """A customer to whom an item could be offered; the time in microseconds."""

    customer_id: str
    score: float
    fit: float
    last_time: int


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """Some customers, best first."""

    customers: Sequence[CustomerForItem] = ()
    next_token: str = ""
    model_version: str = ""


@dataclass(frozen=True, slots=True)
class AudienceWish:
    """What is asked; the half-life in microseconds."""

    item_id: str
    half_life: int
    exclude_buyers: bool
    page_size: int
    page_token: str = ""


async def find_customers_for_item(sources: Sources, tenant: str, wish: AudienceWish, now: int) -> CustomerPage:
    """A page. ``ItemNotFound``; ``InvalidCursor`` for a token of another question, or of a model that is not live."""
    await shelf_with(sources, tenant, wish.item_id)
    live = await sources.models.live(tenant)
    if live is None:
        return CustomerPage()
    model = live.model
    version = model.training.model_version
    asked = [version, wish.item_id, wish.half_life, wish.exclude_buyers]
    now, offset = _read(wish.page_token, asked) if wish.page_token else (now // HOUR * HOUR, 0)
    row = model.row_of.get(wish.item_id)
    if row is None:
        return CustomerPage(model_version=version)
    question = AudienceQuestion(row, now, wish.half_life, wish.exclude_buyers)
    audience = await sources.demand.audience(tenant, model, question)
    end = offset + wish.page_size
    token = _token(asked, now, end) if end < len(audience.codes) else ""
    return CustomerPage(_customers(audience, offset, end), token, version)


def _customers(audience: Audience, start: int, end: int) -> list[CustomerForItem]:
    return [
        CustomerForItem(
            audience.model.customer_ids[int(audience.codes[at])],
            float(audience.scores[at]),
            float(audience.fits[at]),
            int(audience.last_times[at]),
        )
        for at in range(start, min(end, len(audience.codes)))
    ]


def _token(asked: list[object], now: int, offset: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([*asked, now, offset]).encode()).decode()


def _read(token: str, asked: list[object]) -> tuple[int, int]:
    refusal = InvalidCursor("the page token is not of this question and the live model; begin with the first page")
    try:
        *told, now, offset = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError, TypeError):
        raise refusal from None
    if told != asked or type(now) is not int or type(offset) is not int or offset < 0:
        raise refusal
    return now, offset
