"""Leaving a list with one click."""

from typing import Any

import grpc
from tessera.crm.v1 import unsubscribe_pb2 as pb

from services.common.auth import ALL_TENANTS, principal
from services.common.clock import Clock
from services.crm.handlers.unsubscribe import unsubscribe
from services.crm.ports import Campaigns, Messages, Unsubscribes

Context = grpc.aio.ServicerContext[Any, Any]


class UnsubscribeRpcs:
    """Hears of links that were used."""

    unsubscribes: Unsubscribes
    messages: Messages
    campaigns: Campaigns
    clock: Clock

    async def Unsubscribe(self, request: pb.UnsubscribeRequest, context: Context) -> pb.UnsubscribeResponse:
        tenant = None if principal().tenant == ALL_TENANTS else principal().tenant
        await unsubscribe(self.unsubscribes, self.messages, self.campaigns, self.clock, tenant, request.token)
        return pb.UnsubscribeResponse()
