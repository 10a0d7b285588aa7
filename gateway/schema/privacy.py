"""Consent and privacy in the schema: what people allow, and the receipts of those who are forgotten."""

from collections.abc import Sequence

import strawberry
from strawberry import Parent
from tessera.common.v1 import privacy_pb2
from tessera.profiles.v1 import consent_pb2, erasure_pb2, person_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(
    consent_pb2.Consent,
    "purpose",
    "channel",
    "state",
    "change_time",
    "expire_time",
    "confirm_time",
    "source",
    "origin_customer_id",
)
class Consent: ...


@from_proto(
    consent_pb2.ConsentProof,
    "source",
    "text_version",
    "wording",
    "page_url",
    "ip_address",
    "actor",
    "message_id",
)
class ConsentProof: ...


@from_proto(
    consent_pb2.ConsentStatement,
    "statement_id",
    "origin_customer_id",
    "purpose",
    "channel",
    "state",
    "statement_time",
    "record_time",
    "expire_time",
    "proof",
    "recorded_by",
)
class ConsentStatement: ...


@input_from_proto(
    consent_pb2.ConsentProof,
    "source",
    "text_version",
    "wording",
    "page_url",
    "ip_address",
    "actor",
    "message_id",
)
class ConsentProofInput: ...


@input_from_proto(person_pb2.PersonIdentifier, "type", "value")
class PersonIdentifierInput: ...


@input_from_proto(person_pb2.Person, "customer_id", "identifier")
class PersonInput: ...


@from_proto(person_pb2.PersonIdentifier, "type", "value")
class PersonIdentifier: ...


@from_proto(person_pb2.Person, "customer_id", "identifier")
class Person: ...


@input_from_proto(
    consent_pb2.NewConsentStatement,
    "person",
    "purpose",
    "channel",
    "state",
    "statement_time",
    "expire_time",
    "proof",
)
class NewConsentStatementInput: ...


@input_from_proto(consent_pb2.SetConsentsRequest, "request_id", "statements")
class SetConsentsInput: ...


@from_proto(consent_pb2.ConsentRejection, "index", "reason", "message")
class ConsentRejection: ...


@from_proto(consent_pb2.SetConsentsResponse, "recorded_count", "changed_count", "rejections")
class SetConsentsPayload: ...


@from_proto(privacy_pb2.RemovedRecords, "kind", "count", "removal")
class RemovedRecords: ...


@from_proto(erasure_pb2.ServiceErasure, "service", "done", "remove_time", "acknowledge_time", "removed")
class ServiceErasure: ...


@from_proto(
    erasure_pb2.Erasure,
    "erasure_id",
    "customer_id",
    "state",
    "services",
    "requested_by",
    "reason",
    "request_time",
    "finish_time",
    "pseudonym",
    "suppressed_identifier_count",
    "problem",
    "mode",
)
class Erasure: ...


@input_from_proto(erasure_pb2.EraseCustomersRequest, "request_id", "persons", "reason", "allow_return", "mode")
class EraseCustomersInput: ...


@from_proto(erasure_pb2.EraseCustomersResponse, "erasures", "not_found")
class EraseCustomersPayload: ...


@edge(Customer, by_rpc("profiles.BatchGetConsents"))
async def consents(customer: Parent[profiles_pb.Customer], info: Info) -> list[consent_pb2.Consent]:
    """What holds for each purpose and channel of which something was said."""
    found = await loaders.consents(info.context, customer.customer_id)
    return list(found.consents) if found else []


@edge(Customer, by_rpc("profiles.ListConsentHistory"))
async def consent_history(
    customer: Parent[profiles_pb.Customer],
    info: Info,
    first: First = 20,
    after: After = None,
    purpose: str = "",
) -> Page[consent_pb2.ConsentStatement]:
    """Everything that was said, with its proof, newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[consent_pb2.ConsentStatement], str]:
        request = consent_pb2.ListConsentHistoryRequest(
            customer_id=customer.customer_id, purpose=purpose, page_size=size, page_token=token
        )
        answer = await info.context.backends.profiles.ListConsentHistory(request, metadata=info.context.metadata)
        return answer.statements, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("profiles.GetErasure"))
async def erasure(info: Info, erasure_id: strawberry.ID) -> erasure_pb2.Erasure | None:
    """The receipt of an erasure: what each service removed and when; null if there is none."""
    request = erasure_pb2.GetErasureRequest(erasure_id=erasure_id)
    call = info.context.backends.profiles.GetErasure(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.erasure if answer else None


@query(by_rpc("profiles.ListErasures"))
async def erasures(info: Info, first: First = 20, after: After = None) -> Page[erasure_pb2.Erasure]:
    """Receipts, those asked for last first: who asked for what, and when."""

    async def fetch(size: int, token: str) -> tuple[Sequence[erasure_pb2.Erasure], str]:
        request = erasure_pb2.ListErasuresRequest(page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListErasures(request, metadata=info.context.metadata)
        return answer.erasures, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("profiles.SetConsents"))
async def set_consents(info: Info, input: consent_pb2.SetConsentsRequest) -> consent_pb2.SetConsentsResponse:
    return await info.context.backends.profiles.SetConsents(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.EraseCustomers"))
async def erase_customers(info: Info, input: erasure_pb2.EraseCustomersRequest) -> erasure_pb2.EraseCustomersResponse:
    return await info.context.backends.profiles.EraseCustomers(input, metadata=info.context.metadata)
