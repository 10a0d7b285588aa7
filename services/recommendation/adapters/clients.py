"""What recommendation asks of profiles at the moment of a list: the traits of a customer."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import grpc
import msgspec
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.channels import on_behalf_of

log = logging.getLogger(__name__)

TRAITS_SECONDS = 60.0
"""How long the traits of a customer are kept here."""
WAIT_SECONDS = 0.25
"""A list waits no longer than this; without traits, conditions see none."""
CUSTOMERS_MAX = 10_000


class ProfilesTraits:
    """The port ``Traits``."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ProfilesServiceStub(channel)
        self._kept: OrderedDict[tuple[str, str], tuple[float, Mapping[str, Any]]] = OrderedDict()

    async def of(self, tenant: str, customer_id: str) -> Mapping[str, Any]:
        now = asyncio.get_running_loop().time()
        known = self._kept.get((tenant, customer_id))
        if known is None or known[0] < now:
            try:
                known = now + TRAITS_SECONDS, await self._ask(tenant, customer_id)
            except grpc.aio.AioRpcError as error:
                log.warning("traits of a customer of tenant %s are not known: %s", tenant, error.details())
                return known[1] if known else {}
            self._kept[tenant, customer_id] = known
            while len(self._kept) > CUSTOMERS_MAX:
                self._kept.popitem(last=False)
        return known[1]

    async def _ask(self, tenant: str, customer_id: str) -> Mapping[str, Any]:
        request = profiles.BatchGetCustomersRequest(customer_ids=[customer_id])
        answer = await self._stub.BatchGetCustomers(request, metadata=on_behalf_of(tenant), timeout=WAIT_SECONDS)
        return {
            trait.name: msgspec.json.decode(trait.value_json) for found in answer.customers for trait in found.traits
        }
