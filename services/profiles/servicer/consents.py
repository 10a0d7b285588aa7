"""The rpcs of consents."""

from dataclasses import asdict

from tessera.profiles.v1 import consent_pb2 as pb
from tessera.profiles.v1 import person_pb2

from services.common.auth import principal
from services.common.clock import Clock
from services.common.validation import FieldInvalid
from services.profiles.domain.consent import ALL_CHANNELS, Consent, ConsentState, Proof, Statement
from services.profiles.handlers.consents import (
    Said,
    batch_get_consents,
    check_consents,
    get_consents,
    list_consent_history,
    set_consents,
)
from services.profiles.handlers.persons import Person
from services.profiles.ports import ConsentBook, Profiles
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, named, new_id, timestamp, to_micros


class ConsentRpcs:
    """What people allow and refuse."""

    _profiles: Profiles
    _consents: ConsentBook
    _clock: Clock

    async def SetConsents(self, request: pb.SetConsentsRequest, context: Context) -> pb.SetConsentsResponse:
        said = [_said(index, each) for index, each in enumerate(request.statements)]
        heard = await set_consents(
            self._profiles, self._consents, self._clock, new_id, named(request), said, principal().subject
        )
        rejections = [
            pb.ConsentRejection(index=index, reason=reason, message=message)
            for index, reason, message in heard.rejections
        ]
        return pb.SetConsentsResponse(
            recorded_count=heard.recorded_count, changed_count=heard.changed_count, rejections=rejections
        )

    async def GetConsents(self, request: pb.GetConsentsRequest, context: Context) -> pb.GetConsentsResponse:
        held, now = await get_consents(
            self._profiles, self._consents, self._clock, principal().tenant, request.customer_id
        )
        return pb.GetConsentsResponse(consents=[_consent(held[key], now) for key in sorted(held)])

    async def BatchGetConsents(
        self, request: pb.BatchGetConsentsRequest, context: Context
    ) -> pb.BatchGetConsentsResponse:
        found, now = await batch_get_consents(
            self._profiles, self._consents, self._clock, principal().tenant, request.customer_ids
        )
        return pb.BatchGetConsentsResponse(
            customers=[
                pb.CustomerConsents(
                    customer_id=customer_id,
                    consents=[_consent(held, now) for _, held in sorted(found[customer_id].items())],
                )
                for customer_id in request.customer_ids
            ]
        )

    async def ListConsentHistory(
        self, request: pb.ListConsentHistoryRequest, context: Context
    ) -> pb.ListConsentHistoryResponse:
        statements, token = await list_consent_history(
            self._profiles,
            self._consents,
            principal().tenant,
            request.customer_id,
            request.purpose,
            request.page_size or PAGE_SIZE_DEFAULT,
            request.page_token,
        )
        return pb.ListConsentHistoryResponse(statements=map(_statement, statements), next_page_token=token)

    async def CheckConsents(self, request: pb.CheckConsentsRequest, context: Context) -> pb.CheckConsentsResponse:
        held, now = await check_consents(
            self._profiles,
            self._consents,
            self._clock,
            principal().tenant,
            request.customer_ids,
            request.purpose,
            request.channel,
        )
        answers = [
            _answer(customer_id, held[customer_id], request.channel, now) for customer_id in request.customer_ids
        ]
        return pb.CheckConsentsResponse(answers=answers)


def person_of(message: person_pb2.Person, field: str) -> Person:
    """The person that a request names; ``FieldInvalid``."""
    match message.WhichOneof("key"):
        case "customer_id" if message.customer_id:
            return message.customer_id
        case "identifier":
            return message.identifier.type, message.identifier.value
        case _:
            raise FieldInvalid(f"{field} needs a customer_id or an identifier", field=field)


def _said(index: int, message: pb.NewConsentStatement) -> Said:
    proof = message.proof
    return Said(
        person=person_of(message.person, f"statements[{index}].person"),
        purpose=message.purpose,
        channel=message.channel,
        state=ConsentState(message.state),
        time=to_micros(message.statement_time),
        expire_time=to_micros(message.expire_time),
        proof=Proof(
            source=proof.source,
            text_version=proof.text_version,
            wording=proof.wording,
            page_url=proof.page_url,
            ip_address=proof.ip_address,
            actor=proof.actor,
            message_id=proof.message_id,
        ),
    )


def _consent(consent: Consent, now: int) -> pb.Consent:
    return pb.Consent(
        purpose=consent.purpose,
        channel=consent.channel,
        state=pb.ConsentState.ValueType(consent.state(now)),
        change_time=timestamp(consent.change_time(now)),
        expire_time=timestamp(consent.expire_time) if consent.expire_time else None,
        confirm_time=timestamp(consent.confirm_time),
        source=consent.source,
        origin_customer_id=consent.origin,
    )


def _statement(statement: Statement) -> pb.ConsentStatement:
    return pb.ConsentStatement(
        statement_id=statement.statement_id,
        origin_customer_id=statement.customer_id,
        purpose=statement.purpose,
        channel=statement.channel,
        state=pb.ConsentState.ValueType(statement.state),
        statement_time=timestamp(statement.time),
        record_time=timestamp(statement.record_time),
        expire_time=timestamp(statement.expire_time) if statement.expire_time else None,
        proof=pb.ConsentProof(**asdict(statement.proof)),
        recorded_by=statement.recorded_by,
    )


def _answer(customer_id: str, consent: Consent | None, channel: str, now: int) -> pb.ConsentAnswer:
    if consent is None:
        return pb.ConsentAnswer(customer_id=customer_id)
    of_all = consent.channel == ALL_CHANNELS and channel != ALL_CHANNELS
    return pb.ConsentAnswer(
        customer_id=customer_id,
        state=pb.ConsentState.ValueType(consent.state(now)),
        rule=pb.CONSENT_RULE_ALL_CHANNELS if of_all else pb.CONSENT_RULE_CHANNEL,
        change_time=timestamp(consent.change_time(now)),
    )
