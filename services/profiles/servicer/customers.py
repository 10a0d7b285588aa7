"""Customers and their timelines."""

from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.common.auth import principal
from services.profiles.handlers.get_customer import get_customer
from services.profiles.ports import Profiles
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, customer_message, recorded_message


class CustomerRpcs:
    """Reads customers."""

    _profiles: Profiles

    async def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        named = request.WhichOneof("key") == "identifier"
        identifier = (request.identifier.type, request.identifier.value) if named else None
        customer = await get_customer(self._profiles, principal().tenant, request.customer_id, identifier)
        return pb.GetCustomerResponse(customer=customer_message(customer))

    async def BatchGetCustomers(
        self, request: pb.BatchGetCustomersRequest, context: Context
    ) -> pb.BatchGetCustomersResponse:
        found = await self._profiles.customers(principal().tenant, list(dict.fromkeys(request.customer_ids)))
        return pb.BatchGetCustomersResponse(customers=[customer_message(customer) for customer, _ in found.values()])

    async def ListCustomers(self, request: pb.ListCustomersRequest, context: Context) -> pb.ListCustomersResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        customers, token = await self._profiles.page(principal().tenant, size, request.page_token)
        return pb.ListCustomersResponse(customers=map(customer_message, customers), next_page_token=token)

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        events, token = await self._profiles.timeline(
            principal().tenant, request.customer_id, request.name, size, request.page_token
        )
        return pb.ListEventsResponse(events=map(recorded_message, events), next_page_token=token)

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: Context) -> pb.GetStatisticsResponse:
        customers, events, cursor = await self._profiles.statistics(principal().tenant)
        return pb.GetStatisticsResponse(customer_count=customers, event_count=events, end_cursor=cursor)
