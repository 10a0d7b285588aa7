"""Streaming what is kept of a person."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tessera.common.v1 import privacy_pb2
from tessera.loyalty.v1 import personal_data_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common import json
from services.common.auth import principal
from services.common.clock import from_micros
from services.loyalty.handlers.personal_data import export_customer_data
from services.loyalty.ports import PersonalData
from services.loyalty.servicer.calls import Context


@dataclass(frozen=True, kw_only=True)
class PersonalDataRpcs(LoyaltyServiceServicer):
    """The rpcs of personal data."""

    personal_data: PersonalData

    async def ExportCustomerData(
        self, request: pb.ExportCustomerDataRequest, context: Context
    ) -> AsyncIterator[pb.ExportCustomerDataResponse]:
        found = export_customer_data(
            self.personal_data, principal().tenant, request.customer_id, request.origin_customer_ids
        )
        async for page in found:
            records = [privacy_pb2.PersonalRecord(kind=kind, json=json.write(_readable(told))) for kind, told in page]
            yield pb.ExportCustomerDataResponse(records=records)


def _readable(told: dict[str, Any]) -> dict[str, Any]:
    """Times, which are kept in microseconds under names that end in ``_time``, in RFC 3339."""
    return {
        name: from_micros(value).isoformat() if name.endswith("_time") and isinstance(value, int) else value
        for name, value in told.items()
    }
