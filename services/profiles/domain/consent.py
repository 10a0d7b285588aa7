"""Consents: what holds for each purpose and channel, whatever the order in which statements arrive.

Times are microseconds; 0 means never, or that nothing was said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from services.common.errors import FailedPrecondition

CONSENTS_MAX = 200
"""Purposes and channels of one origin."""
CATEGORIES_MAX = 50
NAME_LENGTH_MAX = 64
ALL_CHANNELS = ""
EVENT, EXPIRY = "event", "expiry"

Key = tuple[str, str]
"""Purpose and channel."""


class TooManyConsents(FailedPrecondition):
    """A person has statements about as many purposes and channels as can be kept. Metadata ``maximum``."""


class ConsentState(IntEnum):
    """What holds; the numbers are the contract's."""

    GRANTED = 1
    DENIED = 2
    WITHDRAWN = 3
    EXPIRED = 4


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows that something was said."""

    source: str = ""
    text_version: str = ""
    wording: str = ""
    page_url: str = ""
    ip_address: str = ""
    actor: str = ""
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """Something that was said. ``customer_id`` is the origin that said it."""

    statement_id: str
    customer_id: str
    purpose: str
    channel: str
    state: ConsentState
    time: int
    record_time: int
    expire_time: int = 0
    proof: Proof = Proof()
    recorded_by: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """The newest statement of one origin about a purpose and channel, and what followers were told of it."""

    purpose: str
    channel: str
    said: ConsentState
    time: int
    """When it was first said."""
    confirm_time: int
    """When it was said last."""
    expire_time: int
    told_time: int
    """The ``change_time`` that followers were told; it only grows."""
    source: str = ""
    expiry_told: bool = False
    origin: str = ""

    def state(self, now: int) -> ConsentState:
        """What holds at that moment."""
        over = self.said is ConsentState.GRANTED and 0 < self.expire_time <= now
        return ConsentState.EXPIRED if over else self.said

    def change_time(self, now: int) -> int:
        """Since when."""
        return max(self.told_time, self.expire_time) if self.state(now) is ConsentState.EXPIRED else self.told_time

    def rank(self, now: int) -> tuple[int, bool, str]:
        """Of consents of several origins the one that ranks highest holds: the newest; at one instant what refuses."""
        return self.change_time(now), self.state(now) is not ConsentState.GRANTED, self.origin

    @property
    def next_expiry(self) -> int:
        """When followers have to be told that it ran out; 0 for never."""
        return self.expire_time if self.said is ConsentState.GRANTED and not self.expiry_told else 0


@dataclass(slots=True)
class Consents:
    """What one origin said. Changed by ``hear`` and ``expire``; what these return is to be told to followers."""

    customer_id: str
    entries: dict[Key, Consent] = field(default_factory=dict)

    def hear(self, statement: Statement) -> bool:
        """Whether ``statement`` changes what holds; ``TooManyConsents``."""
        key = statement.purpose, statement.channel
        before = self.entries.get(key)
        if before is None and len(self.entries) >= CONSENTS_MAX:
            text = f"statements about {CONSENTS_MAX} purposes and channels are kept of a person, no more"
            raise TooManyConsents(text, maximum=CONSENTS_MAX)
        if before is not None and _order(statement.time, statement.state) < _order(before.confirm_time, before.said):
            return False
        if before is not None and (before.said, before.expire_time) == (statement.state, statement.expire_time):
            self.entries[key] = replace(before, confirm_time=statement.time)
            return False
        told = statement.time if before is None else max(statement.time, before.told_time + 1)
        self.entries[key] = Consent(
            purpose=statement.purpose,
            channel=statement.channel,
            said=statement.state,
            time=statement.time,
            confirm_time=statement.time,
            expire_time=statement.expire_time,
            told_time=told,
            source=statement.proof.source,
            origin=self.customer_id,
        )
        return True

    def expire(self, now: int) -> list[Consent]:
        """Those that ran out and of which nobody was told yet."""
        over = [each for each in self.entries.values() if 0 < each.next_expiry <= now]
        told = [replace(each, expiry_told=True, told_time=max(each.expire_time, each.told_time + 1)) for each in over]
        self.entries.update(((each.purpose, each.channel), each) for each in told)
        return told

    @property
    def next_expiry(self) -> int:
        """When the next of them runs out; 0 for never."""
        return min((each.next_expiry for each in self.entries.values() if each.next_expiry), default=0)


def _order(time: int, state: ConsentState) -> tuple[int, bool]:
    """Statements in the order in which they hold: of two at one instant the one that refuses."""
    return time, state is not ConsentState.GRANTED


def holding(origins: Iterable[Consents], now: int) -> dict[Key, Consent]:
    """What holds of a person who is these origins."""
    held: dict[Key, Consent] = {}
    for origin in origins:
        for key, consent in origin.entries.items():
            if key not in held or consent.rank(now) > held[key].rank(now):
                held[key] = consent
    return held


def answer(held: Mapping[Key, Consent], purpose: str, channel: str, now: int) -> Consent | None:
    """What holds for a purpose and channel.

    What was said of the channel; where nothing was, or where all channels were refused after it, what was said of all.
    A grant for all channels does not lift what was refused for one.
    """
    of_all, of_one = held.get((purpose, ALL_CHANNELS)), held.get((purpose, channel))
    if of_all is None or of_one is None:
        return of_one or of_all
    refused_later = of_all.state(now) is not ConsentState.GRANTED and of_all.rank(now) >= of_one.rank(now)
    return of_all if refused_later else of_one


def categories(context: Mapping[str, Any]) -> dict[str, bool]:
    """Segment's consent convention: the categories in ``context.consent.categoryPreferences``, and whether each is
    allowed. What is not a truth value says nothing, and is left out; so are more than fifty."""
    consent = context.get("consent")
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    if not isinstance(preferences, dict):
        return {}
    said = ((name, value) for name, value in preferences.items() if isinstance(value, bool) and _is_name(name))
    return dict(list(said)[:CATEGORIES_MAX])


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_LENGTH_MAX and "\0" not in name
