"""What crm tells a person about the person."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from tessera.common.v1 import privacy_pb2
from tessera.crm.v1 import privacy_pb2 as pb

from services.common import json
from services.common.auth import principal
from services.crm.domain.message import Message
from services.crm.ports import Messages

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_MAX = 500


class PrivacyRpcs:
    """Shows everything that is held about a person."""

    messages: Messages

    async def ExportCustomerData(
        self, request: pb.ExportCustomerDataRequest, context: Context
    ) -> AsyncIterator[pb.ExportCustomerDataResponse]:
        tenant = principal().tenant
        for customer_id in dict.fromkeys((request.customer_id, *request.origin_customer_ids)):
            token, more = "", True
            while more:
                page = await self.messages.to_customer(tenant, customer_id, PAGE_MAX, token)
                if page.items:
                    yield pb.ExportCustomerDataResponse(records=map(_record, page.items))
                token, more = page.next_token, bool(page.next_token)


def _record(message: Message) -> privacy_pb2.PersonalRecord:
    told = {
        "campaign": message.campaign_id,
        "state": message.state.name.lower(),
        "address": message.address,
        "reason": message.reason,
        "detail": message.detail,
        "queued": message.queue_time.isoformat(),
        "ended": message.end_time.isoformat() if message.end_time else "",
    }
    return privacy_pb2.PersonalRecord(kind="message", json=json.write({key: told[key] for key in told if told[key]}))
