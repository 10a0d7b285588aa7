"""Offers: what makes a cart cheaper, for whom, when, and how often."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.common.clock import from_micros
from services.common.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from services.common.rules.condition import Condition, check_condition
from services.loyalty.domain.coupon import ALWAYS
from services.loyalty.domain.personal_price import PersonalTerms, problem_of
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.share import WHOLE

OFFERS_MAX = 1000
MINUTES = 24 * 60


class OfferNotFound(NotFound):
    """There is no such offer."""


class OfferExists(AlreadyExists):
    """The id of the new offer is taken."""


class OfferLimitReached(ResourceExhausted):
    """The tenant has as many offers as it may."""


class OfferInvalid(InvalidArgument):
    """An offer that contradicts itself."""


class ActionKind(Enum):
    """What an offer does."""

    ORDER_SHARE = "order_share"
    ORDER_AMOUNT = "order_amount"
    LINE_SHARE = "line_share"
    LINE_AMOUNT = "line_amount"
    LINE_PRICE = "line_price"
    PRICE_LIST = "price_list"
    VOLUME = "volume"
    BUY_GET = "buy_get"
    BUNDLE = "bundle"
    FREE_SHIPPING = "free_shipping"
    GIFT = "gift"
    POINTS_MULTIPLIER = "points_multiplier"
    PERSONAL_SHARE = "personal_share"


class Chosen(Enum):
    """Which units `BUY_GET` gives."""

    CHEAPEST = "cheapest"
    SAME_ITEM = "same_item"
    OTHER_ITEMS = "other_items"


@dataclass(frozen=True, slots=True)
class VolumeTier:
    """From so many units on: a share off, or a price a unit where there is one (-1: none)."""

    min_quantity: int
    share: int = 0
    price_minor: int = -1


@dataclass(frozen=True, slots=True)
class BundlePart:
    """So many units of such items."""

    quantity: int
    items: Condition | None = None


@dataclass(frozen=True, slots=True)
class ItemPrice:
    """What a unit of an item costs."""

    item_id: str
    price_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What an offer does; which fields count says the kind. Shares are ten-thousandths."""

    kind: ActionKind
    items: Condition | None = None
    share: int = 0
    amount_minor: int = 0
    max_minor: int = 0
    """The most that it takes off; 0: without limit."""
    buy_quantity: int = 0
    get_quantity: int = 0
    chosen: Chosen = Chosen.CHEAPEST
    get_items: Condition | None = None
    times_max: int = 0
    tiers: tuple[VolumeTier, ...] = ()
    across_items: bool = False
    parts: tuple[BundlePart, ...] = ()
    prices: tuple[ItemPrice, ...] = ()
    gift_item_id: str = ""
    personal: PersonalTerms | None = None


@dataclass(frozen=True, slots=True)
class TimeSlot:
    """Some weekdays (Monday is 1), from one minute of the day to before another."""

    weekdays: tuple[int, ...]
    start_minute: int = 0
    end_minute: int = MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer. ``floor_share`` of a line's list price always stays, in ten-thousandths; 0 limits are none."""

    offer_id: str
    name: str
    currency: str
    action: Action
    priority: int = 0
    start_time: int = 0
    end_time: int = ALWAYS
    slots: tuple[TimeSlot, ...] = ()
    time_zone: str = "UTC"
    condition: Condition | None = None
    items: Condition | None = None
    min_order_minor: int = 0
    min_quantity: int = 0
    coupon_campaign_id: str = ""
    stackable: bool = False
    exclusivity_group: str = ""
    total_limit: int = 0
    customer_limit: int = 0
    budget_minor: int = 0
    floor_share: int = 0
    paused: bool = False
    create_time: int = 0

    @property
    def limited(self) -> bool:
        """Whether its uses are limited; all uses are counted anyway."""
        return bool(self.total_limit or self.customer_limit or self.budget_minor)

    def open_at(self, now: int) -> bool:
        """Whether its time is now."""
        if self.paused or not self.start_time <= now < self.end_time:
            return False
        if not self.slots:
            return True
        local: datetime = from_micros(now).replace(tzinfo=UTC).astimezone(ZoneInfo(self.time_zone))
        minute = local.hour * 60 + local.minute
        return any(
            local.isoweekday() in slot.weekdays and slot.start_minute <= minute < slot.end_minute for slot in self.slots
        )


@dataclass(frozen=True, slots=True)
class OfferUsage:
    """How often an offer was used, or an offer by one customer, and what it came to."""

    offer_id: str
    customer_id: str = ""
    uses: int = 0
    discount_minor: int = 0

    def plus(self, uses: int, discount_minor: int) -> "OfferUsage":
        """With more uses, or fewer."""
        return replace(self, uses=self.uses + uses, discount_minor=self.discount_minor + discount_minor)


OFFERS = Kind("offers", Offer)
OFFER_USAGES = Kind("offer_usages", OfferUsage)


def offer_usage_refs(offer_id: str, customer_id: str) -> tuple[Ref[OfferUsage], Ref[OfferUsage]]:
    """Where the offer's usage is kept, and that of the customer."""
    return Ref(OFFER_USAGES, offer_id), Ref(OFFER_USAGES, f"{offer_id}/{customer_id}")


def check_offer(offer: Offer) -> None:
    """``OfferInvalid``, ``RuleInvalid`` or ``RuleUnsupported`` if it is wrong."""
    if offer.start_time >= offer.end_time:
        raise OfferInvalid("an offer ends after it starts", field="end_time")
    try:
        ZoneInfo(offer.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise OfferInvalid(f"{offer.time_zone} is no IANA time zone", field="time_zone") from None
    for slot in offer.slots:
        days = bool(slot.weekdays) and all(1 <= day <= 7 for day in slot.weekdays)
        if not days or not 0 <= slot.start_minute < slot.end_minute <= MINUTES:
            raise OfferInvalid("a slot has weekdays from 1 to 7, and ends after it starts", field="slots")
    if not offer.stackable and offer.exclusivity_group:
        raise OfferInvalid("an offer that is not stackable needs no group: it stands alone", field="exclusivity_group")
    _check_action(offer.action)
    for place, condition in _conditions(offer):
        check_condition(condition, place)


def _conditions(offer: Offer) -> Iterable[tuple[str, Condition | None]]:
    action = offer.action
    yield "condition", offer.condition
    yield "items", offer.items
    yield "action.items", action.items
    yield "action.get_items", action.get_items
    for index, part in enumerate(action.parts):
        yield f"action.parts[{index}].items", part.items


def _check_action(action: Action) -> None:
    def need(holds: bool, problem: str) -> None:
        if not holds:
            raise OfferInvalid(problem, field=f"action.{action.kind.value}")

    match action.kind:
        case ActionKind.ORDER_SHARE | ActionKind.LINE_SHARE:
            need(0 < action.share <= WHOLE, "a share lies above 0 and up to 10,000 ten-thousandths")
        case ActionKind.ORDER_AMOUNT | ActionKind.LINE_AMOUNT:
            need(action.amount_minor > 0, "an amount is above 0")
        case ActionKind.PRICE_LIST:
            ids = [price.item_id for price in action.prices]
            need(bool(ids) and len(set(ids)) == len(ids), "a price list names each item once")
        case ActionKind.VOLUME:
            steps = [tier.min_quantity for tier in action.tiers]
            need(bool(steps) and steps == sorted(set(steps)) and steps[0] > 0, "volume tiers ascend, each above 0")
            shares = all((0 < tier.share <= WHOLE) != (tier.price_minor >= 0) for tier in action.tiers)
            need(shares, "a volume tier has either a share or a price")
        case ActionKind.BUY_GET:
            need(action.buy_quantity > 0 < action.get_quantity, "how many to buy and to get are above 0")
            need(0 < action.share <= WHOLE, "what is got is free (10,000) or a share cheaper")
            other = action.chosen is Chosen.OTHER_ITEMS
            need(other == (action.get_items is not None), "other items, and only they, are named in get_items")
        case ActionKind.BUNDLE:
            need(bool(action.parts) and all(part.quantity > 0 for part in action.parts), "a bundle has parts")
        case ActionKind.GIFT:
            need(bool(action.gift_item_id) and action.get_quantity > 0, "a gift is so many of an item")
        case ActionKind.POINTS_MULTIPLIER:
            need(action.share > WHOLE, "a multiplier is above 10,000 ten-thousandths")
        case ActionKind.PERSONAL_SHARE:
            problem = problem_of(action.personal) if action.personal else "a personal share has terms"
            need(not problem, problem)
