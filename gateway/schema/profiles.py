"""Customers in the schema: who they are and what they did."""

from collections.abc import Sequence
from typing import Annotated

import orjson
import strawberry
from strawberry import Parent
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1 import transfer_pb2

from gateway.context import Context, Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.node import as_node, own_id
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query
from gateway.schema.scalars import JSON, DateTime
from services.common.errors import InvalidArgument


class KeyInvalid(InvalidArgument):
    """None of the arguments by which an object is found, or more than one."""


@from_proto(pb.Identifier, "type", "value")
class Identifier: ...


@input_from_proto(pb.Identifier, "type", "value")
class IdentifierInput: ...


@input_from_proto(
    transfer_pb2.CustomerFilter,
    "where",
    "last_seen_from_time",
    "last_seen_before_time",
    "identifier_type",
    "identifier_prefix",
)
class CustomerFilterInput: ...


@from_proto(pb.Trait, "name", "value_json", "event_time")
class Trait: ...


@from_proto(pb.Lifetime, "event_count", "order_count", "spend", "first_order_time", "last_order_time")
class Lifetime: ...


@from_proto(pb.Group, "group_id", "traits", "event_time")
class Group: ...


@from_proto(
    pb.Customer,
    "customer_id",
    "identifiers",
    "lifetime",
    "first_seen_time",
    "last_seen_time",
    "groups",
    "origin_customer_ids",
)
class Customer: ...


@from_proto(
    pb.RecordedEvent,
    "message_id",
    "type",
    "name",
    "customer_id",
    "event_time",
    "record_time",
    "properties_json",
    "group_id",
    "previous_id",
    "alias_outcome",
    "context_json",
    "integrations_json",
    "origin_customer_id",
)
class Event: ...


@from_proto(pb.GetStatisticsResponse, "customer_count", "event_count")
class ProfileStatistics: ...


@input_from_proto(
    pb.Event,
    "message_id",
    "type",
    "name",
    "user_id",
    "anonymous_id",
    "event_time",
    "properties_json",
    "traits_json",
    "group_id",
    "previous_id",
    "sent_time",
    "context_json",
    "integrations_json",
)
class EventInput: ...


@input_from_proto(pb.IngestEventsRequest, "events")
class IngestEventsInput: ...


@from_proto(pb.Rejection, "index", "message_id", "reason", "message", "path")
class Rejection: ...


@from_proto(pb.Notice, "message_id", "reason", "message")
class Notice: ...


@from_proto(pb.IngestEventsResponse, "recorded_count", "duplicate_count", "rejections", "notices")
class IngestEventsPayload: ...


@as_node(Customer, pb.Customer, "customer_id", access=by_rpc("profiles.BatchGetCustomers"))
async def _customer(context: Context, customer_id: str) -> pb.Customer | None:
    return await loaders.customer(context, customer_id)


@query(by_rpc("profiles.GetCustomer"))
async def customer(
    info: Info,
    id: Annotated[strawberry.ID | None, strawberry.argument(description="Global, or profiles' own.")] = None,
    user_id: Annotated[str | None, strawberry.argument(description="As the shop knows the person.")] = None,
    identifier: pb.Identifier | None = None,
) -> pb.Customer | None:
    """One customer, by exactly one of the arguments; null if there is none."""
    if sum(given is not None for given in (id, user_id, identifier)) != 1:
        raise KeyInvalid("give exactly one of `id`, `userId` and `identifier`")
    if id is not None:
        return await loaders.customer(info.context, own_id(Customer, id))
    named = identifier if identifier is not None else pb.Identifier(type="user_id", value=user_id or "")
    request = pb.GetCustomerRequest(identifier=named)
    call = info.context.backends.profiles.GetCustomer(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.customer if answer else None


@query(by_rpc("profiles.ListCustomers"))
async def customers(
    info: Info, first: First = 20, after: After = None, filter: transfer_pb2.CustomerFilter | None = None
) -> Page[pb.Customer]:
    """Customers, by id. With a filter a page looks at 10,000 at most: it may be short, and have a next one."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Customer], str]:
        request = pb.ListCustomersRequest(page_size=size, page_token=token, filter=filter)
        answer = await info.context.backends.profiles.ListCustomers(request, metadata=info.context.metadata)
        return answer.customers, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("profiles.GetStatistics"))
async def profile_statistics(info: Info) -> pb.GetStatisticsResponse:
    """How many customers and events are kept."""
    return await info.context.backends.profiles.GetStatistics(pb.GetStatisticsRequest(), metadata=info.context.metadata)


@edge(Customer, by_rpc("profiles.GetCustomer"))
def traits(
    customer: Parent[pb.Customer],
    names: Annotated[list[str] | None, strawberry.argument(description="Only these, in this order.")] = None,
) -> list[pb.Trait]:
    """What is known about the person; each trait is the newest by the time of the event that said it."""
    if names is None:
        return list(customer.traits)
    known = {trait.name: trait for trait in customer.traits}
    return [known[name] for name in names if name in known]


@edge(Customer, by_rpc("profiles.ListEvents"))
async def timeline(
    customer: Parent[pb.Customer],
    info: Info,
    first: First = 20,
    after: After = None,
    name: Annotated[str | None, strawberry.argument(description="Only events of this name.")] = None,
    names: Annotated[list[str] | None, strawberry.argument(description="Only events of these names.")] = None,
    from_time: Annotated[DateTime | None, strawberry.argument(description="Only what happened then or later.")] = None,
    before_time: Annotated[DateTime | None, strawberry.argument(description="Only what happened before.")] = None,
    properties: Annotated[
        JSON | None, strawberry.argument(description="Only events whose properties have these values: an object.")
    ] = None,
) -> Page[pb.RecordedEvent]:
    """What the customer did, newest first, under all names."""
    properties_json = "" if properties is None else orjson.dumps(properties).decode()

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.RecordedEvent], str]:
        request = pb.ListEventsRequest(
            customer_id=customer.customer_id,
            name=name or "",
            names=names,
            from_time=from_time,
            before_time=before_time,
            properties_json=properties_json,
            page_size=size,
            page_token=token,
        )
        answer = await info.context.backends.profiles.ListEvents(request, metadata=info.context.metadata)
        return answer.events, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("profiles.IngestEvents"))
async def ingest_events(info: Info, input: pb.IngestEventsRequest) -> pb.IngestEventsResponse:
    return await info.context.backends.profiles.IngestEvents(input, metadata=info.context.metadata)
