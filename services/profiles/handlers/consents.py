"""Consents: hear what people say, directly or by events, and answer what holds."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, Conflict, RequestIdReused
from services.profiles.domain.consent import (
    ALL_CHANNELS,
    EVENT,
    EXPIRY,
    Consent,
    Consents,
    ConsentState,
    Key,
    Proof,
    Statement,
    TooManyConsents,
    answer,
    holding,
)
from services.profiles.domain.event import FUTURE_MICROS_MAX, Observation
from services.profiles.handlers.persons import Person, families, locate, origins_of
from services.profiles.ports import ConsentBook, ConsentChanged, ConsentUpdate, Profiles, Request, Versioned

log = logging.getLogger(__name__)

ATTEMPTS_MAX = 20
RETRY_SECONDS = 0.02
EXPIRING_MAX = 100


@dataclass(frozen=True, slots=True)
class Said:
    """A statement as a caller makes it; times are microseconds, 0 where none is given."""

    person: Person
    purpose: str
    channel: str
    state: ConsentState
    time: int
    expire_time: int
    proof: Proof


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of statements; of those that were not recorded position, reason and message."""

    recorded_count: int
    changed_count: int
    rejections: tuple[tuple[int, str, str], ...]


class _Hearing:
    """Statements as they are applied to the consents of their origins."""

    def __init__(self, tenant: str, known: Mapping[str, Versioned[Consents]]) -> None:
        self._tenant, self._known = tenant, known
        self._consents: dict[str, Consents] = {}
        self._statements: dict[str, list[Statement]] = {}
        self._changes: dict[str, list[ConsentChanged]] = {}

    def of(self, origin: str) -> Consents:
        """The consents of ``origin``, as they are by now."""
        if origin not in self._consents:
            self._consents[origin] = Consents(origin, dict(self._before(origin)))
        return self._consents[origin]

    def hear(self, statement: Statement, customer_id: str, *, keep: bool = True) -> bool:
        """Whether it changes what holds for ``customer_id``; ``TooManyConsents``."""
        consents = self.of(statement.customer_id)
        changed = consents.hear(statement)
        if keep or changed:
            self._statements.setdefault(statement.customer_id, []).append(statement)
        if changed:
            consent = consents.entries[statement.purpose, statement.channel]
            changes = self._changes.setdefault(statement.customer_id, [])
            # Of several changes of one commit the last holds: followers hear that one.
            changes[:] = [it for it in changes if (it.purpose, it.channel) != (consent.purpose, consent.channel)]
            changes.append(_change(self._tenant, customer_id, consent, consent.said))
        return changed

    def updates(self) -> list[ConsentUpdate]:
        """What is to be committed."""
        return [
            ConsentUpdate(
                consents,
                self._known[origin].version if origin in self._known else None,
                self._statements.get(origin, ()),
                self._changes.get(origin, ()),
            )
            for origin, consents in self._consents.items()
            if origin in self._statements or consents.entries != self._before(origin)
        ]

    def _before(self, origin: str) -> dict[Key, Consent]:
        known = self._known.get(origin)
        return known.value.entries if known else {}


async def set_consents(
    profiles: Profiles,
    book: ConsentBook,
    clock: Clock,
    new_id: Callable[[], str],
    request: Request,
    said: Sequence[Said],
    recorded_by: str,
) -> Heard:
    """Record statements, each for itself; all that are right in one commit."""
    for attempt in range(ATTEMPTS_MAX):
        if before := await book.answered(request):
            return Heard(before["recorded"], before["changed"], tuple(map(tuple, before["rejections"])))
        heard, updates = await _hear(profiles, book, to_micros(clock()), new_id, request.tenant, said, recorded_by)
        body: dict[str, Any] = {
            "recorded": heard.recorded_count,
            "changed": heard.changed_count,
            "rejections": [list(each) for each in heard.rejections],
        }
        try:
            await book.commit(request.tenant, updates, request, body)
            return heard
        except RequestIdReused:
            raise
        except (Conflict, AlreadyExists):  # somebody else said something at the same moment
            await asyncio.sleep(RETRY_SECONDS * attempt * random.random())
    raise Conflict("these consents are changed too often by others; try again")


async def _hear(
    profiles: Profiles,
    book: ConsentBook,
    now: int,
    new_id: Callable[[], str],
    tenant: str,
    said: Sequence[Said],
    recorded_by: str,
) -> tuple[Heard, list[ConsentUpdate]]:
    persons = await locate(profiles, tenant, [each.person for each in said])
    known = await book.get_many(tenant, list(dict.fromkeys(origin for origin, _ in persons.values())))
    hearing, changed = _Hearing(tenant, known), 0
    rejections: list[tuple[int, str, str]] = []
    for index, each in enumerate(said):
        if wrong := _fault(each, persons, now):
            rejections.append((index, *wrong))
            continue
        origin, customer_id = persons[each.person]
        time = each.time or now
        statement = Statement(
            new_id(),
            origin,
            each.purpose,
            each.channel,
            each.state,
            time,
            now,
            each.expire_time,
            each.proof,
            recorded_by,
        )
        try:
            changed += hearing.hear(statement, customer_id)
        except TooManyConsents as error:
            rejections.append((index, error.reason, error.message))
    return Heard(len(said) - len(rejections), changed, tuple(rejections)), hearing.updates()


def _fault(said: Said, persons: Mapping[Person, object], now: int) -> tuple[str, str] | None:
    if said.person not in persons:
        return "CUSTOMER_NOT_FOUND", "nobody has this id or identifier"
    if not 0 <= said.time <= now + FUTURE_MICROS_MAX:
        return "STATEMENT_TIME_INVALID", "statement_time lies before 1970 or more than one hour ahead"
    if said.expire_time and (said.state is not ConsentState.GRANTED or said.expire_time <= (said.time or now)):
        return "EXPIRE_TIME_INVALID", "only what is granted runs out, and after statement_time"
    return None


async def overhear(
    book: ConsentBook,
    tenant: str,
    recorded: Sequence[tuple[Observation, str]],
    owned: Mapping[str, str],
    now: int,
) -> list[ConsentUpdate]:
    """What events say of consents: only what differs from what was said before is a new statement.

    ``owned`` tells whose the origins are.
    """
    saying = [(observation, origin) for observation, origin in recorded if observation.consents]
    if not saying:
        return []
    hearing = _Hearing(tenant, await book.get_many(tenant, list(dict.fromkeys(origin for _, origin in saying))))
    for observation, origin in saying:
        for purpose, granted in (observation.consents or {}).items():
            statement, is_new = _overheard(observation, hearing.of(origin), purpose, granted, now)
            try:
                hearing.hear(statement, owned[origin], keep=is_new)
            except TooManyConsents as error:
                log.warning("%s: a consent that an event carried is left out: %s", tenant, error.message)
    return hearing.updates()


def _overheard(
    observation: Observation, consents: Consents, purpose: str, granted: bool, now: int
) -> tuple[Statement, bool]:
    """The statement, and whether it says something else than was said before."""
    before = consents.entries.get((purpose, ALL_CHANNELS))
    same = before is not None and (before.said is ConsentState.GRANTED) == granted
    expire_time = (
        before.expire_time if before is not None and same and before.expire_time > observation.event_time else 0
    )
    if granted:
        state = ConsentState.GRANTED
    elif before is None:
        state = ConsentState.DENIED
    else:
        state = before.said if same else ConsentState.WITHDRAWN
    statement = Statement(
        f"{observation.message_id}:{purpose}",
        consents.customer_id,
        purpose,
        ALL_CHANNELS,
        state,
        observation.event_time,
        now,
        expire_time if granted else 0,
        Proof(source=EVENT, message_id=observation.message_id),
    )
    return statement, not same


async def get_consents(
    profiles: Profiles, book: ConsentBook, clock: Clock, tenant: str, customer_id: str
) -> tuple[dict[Key, Consent], int]:
    """What holds, and the moment at which it does; ``CustomerNotFound``."""
    await origins_of(profiles, tenant, customer_id)
    held, now = await batch_get_consents(profiles, book, clock, tenant, [customer_id])
    return held[customer_id], now


async def batch_get_consents(
    profiles: Profiles, book: ConsentBook, clock: Clock, tenant: str, customer_ids: Sequence[str]
) -> tuple[dict[str, dict[Key, Consent]], int]:
    """What holds for many, and the moment at which it does; nothing for those who do not exist."""
    now = to_micros(clock())
    parts = await families(profiles, tenant, customer_ids)
    known = await book.get_many(tenant, [origin for origins in parts.values() for origin in origins])
    return {
        customer_id: holding((known[it].value for it in parts.get(customer_id, ()) if it in known), now)
        for customer_id in customer_ids
    }, now


async def check_consents(
    profiles: Profiles,
    book: ConsentBook,
    clock: Clock,
    tenant: str,
    customer_ids: Sequence[str],
    purpose: str,
    channel: str,
) -> tuple[dict[str, Consent | None], int]:
    """What holds for a purpose and channel, and the moment at which it does."""
    held, now = await batch_get_consents(profiles, book, clock, tenant, customer_ids)
    return {customer_id: answer(each, purpose, channel, now) for customer_id, each in held.items()}, now


async def list_consent_history(
    profiles: Profiles, book: ConsentBook, tenant: str, customer_id: str, purpose: str, limit: int, after: str
) -> tuple[list[Statement], str]:
    """A page of what a customer said, newest first; ``CustomerNotFound``."""
    origins = await origins_of(profiles, tenant, customer_id)
    return await book.history(tenant, origins, purpose, limit, after)


async def expire_consents(profiles: Profiles, book: ConsentBook, clock: Clock, new_id: Callable[[], str]) -> int:
    """Tell followers of consents that ran out, each once, however late this is; how many there were."""
    now, count = to_micros(clock()), 0
    for tenant, origin in await book.expired(now, EXPIRING_MAX):
        read = (await book.get_many(tenant, [origin])).get(origin)
        whose = (await locate(profiles, tenant, [origin])).get(origin)
        if read is None or whose is None:
            await book.forget_expiry(tenant, origin)
            continue
        consents = Consents(origin, dict(read.value.entries))
        over = consents.expire(now)
        statements = [_expiry(new_id(), origin, each, now) for each in over]
        changes = [_change(tenant, whose[1], each, ConsentState.EXPIRED) for each in over]
        try:
            await book.commit(tenant, [ConsentUpdate(consents, read.version, statements, changes)], None, {})
            count += len(over)
        except (Conflict, AlreadyExists):  # something was said meanwhile, or another process was faster
            continue
    return count


def _expiry(statement_id: str, origin: str, consent: Consent, now: int) -> Statement:
    return Statement(
        statement_id,
        origin,
        consent.purpose,
        consent.channel,
        ConsentState.EXPIRED,
        consent.expire_time,
        now,
        consent.expire_time,
        Proof(source=EXPIRY),
    )


def _change(tenant: str, customer_id: str, consent: Consent, state: ConsentState) -> ConsentChanged:
    return ConsentChanged(
        tenant,
        customer_id,
        consent.origin,
        consent.purpose,
        consent.channel,
        int(state),
        consent.told_time,
        consent.expire_time,
    )
