"""A wheel of fortune: what can come, how often, and which sector a secret that was promised before decides on."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from services.common.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.reward import ALWAYS
from services.loyalty.domain.zones import Period

WHEELS_MAX = 50
"""Of one programme."""
SEED_BYTES = 32
_DIGESTS = 2**256
"""How many values a digest can have."""


class WheelInvalid(InvalidArgument):
    """A wheel contradicts itself, or has not the sector or stock that is named."""


class WheelExists(AlreadyExists):
    """The id of the new wheel is taken in its programme."""


class WheelLimitReached(ResourceExhausted):
    """The programme has as many wheels as it may."""


class WheelNotFound(NotFound):
    """There is no such wheel in the programme."""


@dataclass(frozen=True, slots=True)
class Sector:
    """One part of a wheel. ``stock`` is how often it can come, ever; ``None`` without limit. 0 points are no prize."""

    label: str
    weight: int
    points: int = 0
    stock: int | None = None
    won: int = 0

    @property
    def left(self) -> int | None:
        """How often it can still come; ``None`` without limit."""
        return None if self.stock is None else self.stock - self.won

    @property
    def weight_now(self) -> int:
        """Its weight; 0 where nothing is left."""
        return 0 if self.left == 0 else self.weight


class Drawn(NamedTuple):
    """What the secret decided: a number from 0 to below the sum of the weights, and the sector that it lies in."""

    number: int
    sector: int


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel. ``limit`` spins a member and ``period``, 0 without limit; ``seed`` is 32 secret bytes, as hex."""

    program_id: str
    wheel_id: str
    name: str
    sectors: tuple[Sector, ...]
    seed: str
    cost: int = 0
    limit: int = 0
    period: Period | None = None
    start_time: int = 0
    end_time: int = ALWAYS
    active: bool = True
    create_time: int = 0
    spins: int = 0

    @property
    def weights(self) -> tuple[int, ...]:
        """What the sectors weigh in the next spin."""
        return tuple(sector.weight_now for sector in self.sectors)

    @property
    def prize_max(self) -> int:
        """The most points that can come in the next spin."""
        return max((sector.points for sector in self.sectors if sector.weight_now), default=0)

    @property
    def seed_hash(self) -> str:
        """What is promised before the first spin: SHA-256 of the seed, as hex."""
        return hashlib.sha256(bytes.fromhex(self.seed)).hexdigest()

    def spun(self, sector: int) -> "Wheel":
        """The wheel after one more spin, in which that sector came."""
        came = replace(self.sectors[sector], won=self.sectors[sector].won + 1)
        return replace(self, spins=self.spins + 1, sectors=(*self.sectors[:sector], came, *self.sectors[sector + 1 :]))


@dataclass(frozen=True, slots=True)
class WheelBook:
    """The ids of a programme's wheels, in order."""

    program_id: str
    wheel_ids: tuple[str, ...] = ()


WHEELS = Kind("wheels", Wheel)
WHEEL_BOOKS = Kind("wheel_books", WheelBook)


def wheel_ref(program_id: str, wheel_id: str) -> Ref[Wheel]:
    """Where a wheel is kept."""
    return Ref(WHEELS, f"{program_id}/{wheel_id}")


def wheels_ref(program_id: str) -> Ref[WheelBook]:
    """Where it is kept which wheels a programme has."""
    return Ref(WHEEL_BOOKS, program_id)


def known_wheel(books: Books, program_id: str, wheel_id: str) -> Wheel:
    """The wheel, or ``WheelNotFound``."""
    return found_wheel(books.record(wheel_ref(program_id, wheel_id)), program_id, wheel_id)


def found_wheel(wheel: Wheel | None, program_id: str, wheel_id: str) -> Wheel:
    """The wheel that was looked for, or ``WheelNotFound``."""
    if wheel is None:
        raise WheelNotFound(f"there is no wheel {wheel_id} in programme {program_id}", wheel_id=wheel_id)
    return wheel


def draw(seed: str, number: int, weights: Sequence[int]) -> Drawn:
    """What comes in spin ``number`` (from 1) where sectors weigh so much, together at least 1.

    Rejection sampling: digests above the largest multiple of the sum are drawn again, so that no remainder is likelier
    than another. Whoever does not know the seed cannot tell the result before, and whoever knows it can tell it again.
    """
    total, key = sum(weights), bytes.fromhex(seed)
    fair = _DIGESTS - _DIGESTS % total
    value, attempt = fair, 0
    while value >= fair:
        digest = hmac.digest(key, f"{number}/{attempt}".encode(), "sha256")
        value, attempt = int.from_bytes(digest), attempt + 1
    drawn = value % total
    return Drawn(drawn, next(at for at, end in enumerate(accumulate(weights)) if drawn < end))


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateWheel:
    """Adds a wheel to a programme. Its seed was drawn by whoever asks, and is fixed from now on."""

    wheel: Wheel

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        told = self.wheel
        return Needs(records=(wheels_ref(told.program_id), wheel_ref(told.program_id, told.wheel_id)))

    def apply(self, books: Books, now: int) -> Wheel:
        told = self.wheel
        _check(told)
        program = books.program(told.program_id)
        book = books.record(wheels_ref(program.id)) or WheelBook(program.id)
        if told.wheel_id in book.wheel_ids:
            raise WheelExists(f"there is a wheel {told.wheel_id} already", wheel_id=told.wheel_id)
        if len(book.wheel_ids) >= WHEELS_MAX:
            raise WheelLimitReached(f"a programme may have {WHEELS_MAX} wheels", limit=WHEELS_MAX)
        made = replace(told, create_time=now)
        books.put_record(wheels_ref(program.id), WheelBook(program.id, tuple(sorted((*book.wheel_ids, told.wheel_id)))))
        books.put_record(wheel_ref(program.id, told.wheel_id), made)
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateWheel:
    """Renames a wheel, lets it rest, or changes the stocks of sectors, by their index."""

    program_id: str
    wheel_id: str
    name: str
    active: bool
    stocks: Mapping[int, int | None]

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(wheel_ref(self.program_id, self.wheel_id),))

    def apply(self, books: Books, now: int) -> Wheel:
        program = books.program(self.program_id)
        before = known_wheel(books, program.id, self.wheel_id)
        sectors = list(before.sectors)
        for at, stock in self.stocks.items():
            if at >= len(sectors):
                raise WheelInvalid(f"the wheel has {len(sectors)} sectors, from 0", field="stocks.sector")
            if stock is not None and stock < sectors[at].won:
                raise WheelInvalid(f"sector {at} has come {sectors[at].won} times", field="stocks.stock_count")
            sectors[at] = replace(sectors[at], stock=stock)
        made = replace(before, name=self.name or before.name, active=self.active, sectors=tuple(sectors))
        books.put_record(wheel_ref(program.id, self.wheel_id), made)
        return made


def _check(told: Wheel) -> None:
    if told.start_time >= told.end_time:
        raise WheelInvalid("a wheel ends after it starts", field="wheel.end_time")
    if bool(told.limit) != bool(told.period):
        raise WheelInvalid("a limit needs its period, and only it does", field="wheel.limit_period")
