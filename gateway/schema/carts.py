"""Carts in the schema. Who is shopping says the gateway: segments and traits are not a front end's to claim."""

import orjson
from tessera.loyalty.v1 import cart_pb2 as pb

from gateway.context import Context
from gateway.schema import loaders
from gateway.schema.registry import input_from_proto


@input_from_proto(pb.Shopper, "customer_id")
class ShopperInput:
    """Whose cart it is. Segments and traits are looked up, where the token may read them."""


@input_from_proto(
    pb.CartLine, "line_id", "item_id", "quantity", "price_minor", "categories", "attributes_json", "floor_minor"
)
class CartLineInput: ...


@input_from_proto(pb.Cart, "shopper", "currency", "lines", "shipping_minor", "channel", "store_id")
class CartInput: ...


async def recognised(context: Context, cart: pb.Cart) -> None:
    """Put the shopper's segments and traits into the cart, as far as the caller may read them."""
    customer_id = cart.shopper.customer_id
    if _may(context, "segmentation:read"):
        memberships = await loaders.memberships(context, customer_id)
        cart.shopper.segment_ids[:] = memberships.segment_ids if memberships else []
    if _may(context, "profiles:read"):
        customer = await loaders.customer(context, customer_id)
        traits = {trait.name: orjson.loads(trait.value_json) for trait in customer.traits} if customer else {}
        cart.shopper.traits_json = orjson.dumps(traits).decode()


def _may(context: Context, scope: str) -> bool:
    return context.principal is not None and context.principal.holds(scope)
