"""Customers and their timelines."""

from collections.abc import Sequence

from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.common.auth import principal
from services.common.json import JsonInvalid, read_object
from services.profiles.domain.customer import Customer
from services.profiles.handlers.computed_traits import Defining, computed_values
from services.profiles.handlers.finding import find_customers
from services.profiles.handlers.get_customer import batch_get_customers, get_customer, list_customers, list_events
from services.profiles.ports import EventFilter, Profiles
from services.profiles.ports.predictive_traits import PredictiveBook
from services.profiles.servicer.computed_traits import value_message
from services.profiles.servicer.messages import (
    PAGE_SIZE_DEFAULT,
    Context,
    customer_message,
    recorded_message,
    to_micros,
)
from services.profiles.servicer.predictive_traits import add_predictive_traits
from services.profiles.servicer.transfer import customer_filter

FILTER_BYTES_MAX = 4096


class CustomerRpcs:
    """Reads customers."""

    _profiles: Profiles
    _defining: Defining
    _predictive: PredictiveBook

    async def _messages(self, customers: Sequence[Customer]) -> list[pb.Customer]:
        """With what is computed and what is expected of each."""
        tenant = principal().tenant
        values = await computed_values(self._defining.computing, tenant, customers)
        expected = await self._predictive.of(tenant, [customer.customer_id for customer in customers])
        messages = [customer_message(customer) for customer in customers]
        for message in messages:
            for trait, value in values.get(message.customer_id, ()):
                message.computed_traits.append(value_message(trait, value))
            if message.customer_id in expected:
                add_predictive_traits(message, expected[message.customer_id])
        return messages

    async def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        named = request.WhichOneof("key") == "identifier"
        identifier = (request.identifier.type, request.identifier.value) if named else None
        customer = await get_customer(self._profiles, principal().tenant, request.customer_id, identifier)
        return pb.GetCustomerResponse(customer=(await self._messages([customer]))[0])

    async def BatchGetCustomers(
        self, request: pb.BatchGetCustomersRequest, context: Context
    ) -> pb.BatchGetCustomersResponse:
        wanted = list(dict.fromkeys(request.customer_ids))
        found = await batch_get_customers(self._profiles, principal().tenant, wanted)
        return pb.BatchGetCustomersResponse(customers=await self._messages(found))

    async def ListCustomers(self, request: pb.ListCustomersRequest, context: Context) -> pb.ListCustomersResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        tenant = principal().tenant
        if request.HasField("filter"):
            wanted = customer_filter(request.filter)
            customers, token = await find_customers(self._defining.computing, tenant, wanted, size, request.page_token)
        else:
            customers, token = await list_customers(self._profiles, tenant, size, request.page_token)
        return pb.ListCustomersResponse(customers=await self._messages(customers), next_page_token=token)

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        events, token = await list_events(
            self._profiles, principal().tenant, request.customer_id, _wanted(request), size, request.page_token
        )
        return pb.ListEventsResponse(events=map(recorded_message, events), next_page_token=token)

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: Context) -> pb.GetStatisticsResponse:
        customers, events, cursor = await self._profiles.statistics(principal().tenant)
        return pb.GetStatisticsResponse(customer_count=customers, event_count=events, end_cursor=cursor)


def _wanted(request: pb.ListEventsRequest) -> EventFilter:
    try:
        properties = read_object(request.properties_json, FILTER_BYTES_MAX)
    except JsonInvalid as error:
        raise JsonInvalid(f"properties_json {error}", field="properties_json") from error
    return EventFilter(
        frozenset((*request.names, *([request.name] if request.name else []))),
        to_micros(request.from_time) if request.HasField("from_time") else None,
        to_micros(request.before_time) if request.HasField("before_time") else None,
        properties,
    )
