"""Carts in the schema. Who is shopping says the gateway: segments and traits are not a front end's to claim."""

import asyncio

import orjson
from tessera.loyalty.v1 import cart_pb2 as pb

from gateway.context import Context
from gateway.schema import loaders
from gateway.schema.registry import input_from_proto


@input_from_proto(pb.Shopper, "customer_id")
class ShopperInput:
    """Whose cart it is. Segments and traits are looked up, with the caller's token."""


@input_from_proto(
    pb.CartLine, "line_id", "item_id", "quantity", "price_minor", "categories", "attributes_json", "floor_minor"
)
class CartLineInput: ...


@input_from_proto(pb.Cart, "shopper", "currency", "lines", "shipping_minor", "channel", "store_id")
class CartInput: ...


async def recognised(context: Context, cart: pb.Cart) -> None:
    """Put the shopper's segments and traits into the cart."""
    customer_id = cart.shopper.customer_id
    memberships, customer = await asyncio.gather(
        loaders.memberships(context, customer_id), loaders.customer(context, customer_id)
    )
    cart.shopper.segment_ids[:] = memberships.segment_ids if memberships else []
    traits = {trait.name: orjson.loads(trait.value_json) for trait in customer.traits} if customer else {}
    cart.shopper.traits_json = orjson.dumps(traits).decode()
