"""Offers to and from messages."""

from tessera.loyalty.v1 import offer_pb2 as pb

from services.common.validation import FieldInvalid
from services.loyalty.domain.coupon import ALWAYS
from services.loyalty.domain.offer import (
    MINUTES,
    Action,
    ActionKind,
    BundlePart,
    Chosen,
    ItemPrice,
    Offer,
    TimeSlot,
    VolumeTier,
)
from services.loyalty.domain.share import WHOLE
from services.loyalty.servicer.calls import timestamp
from services.loyalty.servicer.carts import condition_message, read_condition, read_time, time_message
from services.loyalty.servicer.pricing_messages import personal_message, read_personal

_CHOICES = {chosen: pb.BuyGetChoice.Value(f"BUY_GET_CHOICE_{chosen.name}") for chosen in Chosen}
_CHOICES_ASKED = {pb.BUY_GET_CHOICE_UNSPECIFIED: Chosen.CHEAPEST, **{number: each for each, number in _CHOICES.items()}}


def read_offer(message: pb.Offer) -> Offer:
    """The offer; ``FieldInvalid`` if it does nothing."""
    return Offer(
        offer_id=message.offer_id,
        name=message.name,
        currency=message.currency,
        action=_read_action(message.action),
        priority=message.priority,
        start_time=read_time(message, "start_time", 0),
        end_time=read_time(message, "end_time", ALWAYS),
        slots=tuple(
            TimeSlot(tuple(slot.weekdays), slot.start_minute, slot.end_minute or MINUTES) for slot in message.slots
        ),
        time_zone=message.time_zone or "UTC",
        condition=read_condition(message, "condition"),
        items=read_condition(message, "items"),
        min_order_minor=message.min_order_minor,
        min_quantity=message.min_quantity,
        coupon_campaign_id=message.coupon_campaign_id,
        stackable=message.stackable,
        exclusivity_group=message.exclusivity_group,
        total_limit=message.total_limit,
        customer_limit=message.customer_limit,
        budget_minor=message.budget_minor,
        floor_share=message.floor_share,
    )


def _read_action(message: pb.OfferAction) -> Action:
    name = message.WhichOneof("kind")
    if name is None:
        raise FieldInvalid("offer.action must say what the offer does", field="offer.action")
    kind = ActionKind(name)
    match kind:
        case ActionKind.ORDER_SHARE | ActionKind.LINE_SHARE:
            share: pb.ShareOff = getattr(message, name)
            items = read_condition(share, "items")
            return Action(kind=kind, items=items, share=share.share, max_minor=share.max_minor)
        case ActionKind.ORDER_AMOUNT | ActionKind.LINE_AMOUNT:
            amount: pb.AmountOff = getattr(message, name)
            items = read_condition(amount, "items")
            return Action(kind=kind, items=items, amount_minor=amount.amount_minor, max_minor=amount.max_minor)
        case ActionKind.LINE_PRICE:
            price = message.line_price
            return Action(kind=kind, items=read_condition(price, "items"), amount_minor=price.price_minor)
        case ActionKind.PRICE_LIST:
            prices = tuple(ItemPrice(each.item_id, each.price_minor) for each in message.price_list.prices)
            return Action(kind=kind, prices=prices)
        case ActionKind.VOLUME:
            return _read_volume(message.volume)
        case ActionKind.BUY_GET:
            return _read_buy_get(message.buy_get)
        case ActionKind.BUNDLE:
            bundle = message.bundle
            parts = tuple(BundlePart(part.quantity, read_condition(part, "items")) for part in bundle.parts)
            return Action(kind=kind, parts=parts, amount_minor=bundle.price_minor, times_max=bundle.times_max)
        case ActionKind.FREE_SHIPPING:
            return Action(kind=kind, max_minor=message.free_shipping.max_minor)
        case ActionKind.GIFT:
            return Action(kind=kind, gift_item_id=message.gift.item_id, get_quantity=message.gift.quantity)
        case ActionKind.POINTS_MULTIPLIER:
            return Action(kind=kind, share=message.points_multiplier.multiplier)
        case ActionKind.PERSONAL_SHARE:
            return read_personal(message.personal_share)


def _read_volume(volume: pb.VolumePrice) -> Action:
    tiers = tuple(
        VolumeTier(tier.min_quantity, tier.share, tier.price_minor if tier.HasField("price_minor") else -1)
        for tier in volume.tiers
    )
    items = read_condition(volume, "items")
    return Action(kind=ActionKind.VOLUME, items=items, tiers=tiers, across_items=volume.across_items)


def _read_buy_get(buy_get: pb.BuyGet) -> Action:
    return Action(
        kind=ActionKind.BUY_GET,
        items=read_condition(buy_get, "items"),
        share=buy_get.share or WHOLE,
        buy_quantity=buy_get.buy_quantity,
        get_quantity=buy_get.get_quantity,
        chosen=_CHOICES_ASKED[buy_get.choice],
        get_items=read_condition(buy_get, "get_items"),
        times_max=buy_get.times_max,
    )


def offer_message(offer: Offer) -> pb.Offer:
    """An offer."""
    return pb.Offer(
        offer_id=offer.offer_id,
        name=offer.name,
        currency=offer.currency,
        action=_action(offer.action),
        priority=offer.priority,
        start_time=time_message(offer.start_time, 0),
        end_time=time_message(offer.end_time, ALWAYS),
        slots=[
            pb.TimeSlot(weekdays=slot.weekdays, start_minute=slot.start_minute, end_minute=slot.end_minute % MINUTES)
            for slot in offer.slots
        ],
        time_zone=offer.time_zone,
        condition=condition_message(offer.condition),
        items=condition_message(offer.items),
        min_order_minor=offer.min_order_minor,
        min_quantity=offer.min_quantity,
        coupon_campaign_id=offer.coupon_campaign_id,
        stackable=offer.stackable,
        exclusivity_group=offer.exclusivity_group,
        total_limit=offer.total_limit,
        customer_limit=offer.customer_limit,
        budget_minor=offer.budget_minor,
        floor_share=offer.floor_share,
        paused=offer.paused,
        create_time=timestamp(offer.create_time),
    )


def _action(action: Action) -> pb.OfferAction:
    items = condition_message(action.items)
    share = pb.ShareOff(share=action.share, items=items, max_minor=action.max_minor)
    amount = pb.AmountOff(amount_minor=action.amount_minor, items=items, max_minor=action.max_minor)
    match action.kind:
        case ActionKind.ORDER_SHARE:
            return pb.OfferAction(order_share=share)
        case ActionKind.LINE_SHARE:
            return pb.OfferAction(line_share=share)
        case ActionKind.ORDER_AMOUNT:
            return pb.OfferAction(order_amount=amount)
        case ActionKind.LINE_AMOUNT:
            return pb.OfferAction(line_amount=amount)
        case ActionKind.LINE_PRICE:
            return pb.OfferAction(line_price=pb.UnitPrice(price_minor=action.amount_minor, items=items))
        case ActionKind.PRICE_LIST:
            prices = [pb.ItemPrice(item_id=each.item_id, price_minor=each.price_minor) for each in action.prices]
            return pb.OfferAction(price_list=pb.PriceList(prices=prices))
        case ActionKind.VOLUME:
            tiers = map(_tier, action.tiers)
            volume = pb.VolumePrice(items=items, tiers=tiers, across_items=action.across_items)
            return pb.OfferAction(volume=volume)
        case ActionKind.BUY_GET:
            return pb.OfferAction(buy_get=_buy_get(action))
        case ActionKind.BUNDLE:
            parts = [
                pb.BundlePart(quantity=part.quantity, items=condition_message(part.items)) for part in action.parts
            ]
            bundle = pb.Bundle(parts=parts, price_minor=action.amount_minor, times_max=action.times_max)
            return pb.OfferAction(bundle=bundle)
        case ActionKind.FREE_SHIPPING:
            return pb.OfferAction(free_shipping=pb.FreeShipping(max_minor=action.max_minor))
        case ActionKind.GIFT:
            return pb.OfferAction(gift=pb.Gift(item_id=action.gift_item_id, quantity=action.get_quantity))
        case ActionKind.POINTS_MULTIPLIER:
            return pb.OfferAction(points_multiplier=pb.PointsMultiplier(multiplier=action.share))
        case ActionKind.PERSONAL_SHARE:
            return pb.OfferAction(personal_share=personal_message(action))


def _tier(tier: VolumeTier) -> pb.VolumeTier:
    if tier.price_minor >= 0:
        return pb.VolumeTier(min_quantity=tier.min_quantity, price_minor=tier.price_minor)
    return pb.VolumeTier(min_quantity=tier.min_quantity, share=tier.share)


def _buy_get(action: Action) -> pb.BuyGet:
    return pb.BuyGet(
        items=condition_message(action.items),
        buy_quantity=action.buy_quantity,
        get_quantity=action.get_quantity,
        share=action.share,
        choice=_CHOICES[action.chosen],
        get_items=condition_message(action.get_items),
        times_max=action.times_max,
    )
