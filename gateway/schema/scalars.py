"""Scalars of the schema, each with what it is on the wire and which protobuf value it stands for."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal as Number
from typing import Any, NewType

import strawberry
from google.protobuf.duration_pb2 import Duration as DurationMessage
from google.protobuf.timestamp_pb2 import Timestamp
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from services.common.errors import Refusal

SafeInt = NewType("SafeInt", int)
DateTime = NewType("DateTime", Timestamp)
Duration = NewType("Duration", DurationMessage)
Decimal = NewType("Decimal", Number)
JSON = NewType("JSON", object)

SAFE_INTEGER_MAX = 2**53 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(
    r"P(?=.)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,6})?)S)?)?"
)


class IntegerUnsafe(Refusal):
    """A whole number that a JSON number would round."""


def _write_safe_int(value: Any) -> int:
    number = int(value)
    if abs(number) > SAFE_INTEGER_MAX:
        raise IntegerUnsafe(f"{number} is beyond what a JSON number holds exactly")
    return number


def _read_safe_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise GraphQLError("a SafeInt is a whole number, or its digits as a string")
    try:
        return _write_safe_int(value)
    except (ValueError, IntegerUnsafe):
        raise GraphQLError(f"{value!r} is not a whole number that JSON holds exactly") from None


def write_time(value: Timestamp) -> str:
    """As RFC 3339 writes it, in UTC."""
    time = _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
    return f"{time.replace(tzinfo=None).isoformat()}Z"


def _read_time(value: Any) -> Timestamp:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise GraphQLError(f"{value!r} is not an RFC 3339 time such as 2026-05-01T12:00:00Z") from None
    if time.tzinfo is None:
        raise GraphQLError(f"{value!r} has no offset from UTC; end it with Z or +02:00")
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def write_duration(value: DurationMessage) -> str:
    """As ISO 8601 writes it, in days and seconds."""
    total = timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
    sign, total = ("-", -total) if total < timedelta() else ("", total)
    seconds = total.seconds + total.microseconds / 1_000_000
    days = f"{total.days}D" if total.days else ""
    clock = f"T{seconds:.6f}".rstrip("0").rstrip(".") + "S" if seconds or not days else ""
    return f"{sign}P{days}{clock}"


def _read_duration(value: Any) -> DurationMessage:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise GraphQLError(f"{value!r} is not an ISO 8601 duration of weeks, days, hours, minutes and seconds (P28D)")
    duration = DurationMessage()
    duration.FromTimedelta(timedelta(**{unit: float(amount) for unit, amount in match.groupdict(0).items()}))
    return duration


def _read_decimal(value: Any) -> Number:
    try:
        return Number(str(value))
    except ArithmeticError:
        raise GraphQLError(f"{value!r} is not a decimal number") from None


SCALARS: dict[object, ScalarDefinition] = {
    SafeInt: strawberry.scalar(
        name="SafeInt",
        description="A whole number that a JSON number holds exactly: from -(2^53 - 1) to 2^53 - 1. Counts, points and "
        "amounts of money in minor units are of this type. A value beyond is an error, never a rounded figure.",
        serialize=_write_safe_int,
        parse_value=_read_safe_int,
    ),
    DateTime: strawberry.scalar(
        name="DateTime",
        description="An instant, as RFC 3339 writes it. Answers are in UTC and end in `Z`; requests need an offset.",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
        serialize=write_time,
        parse_value=_read_time,
    ),
    Duration: strawberry.scalar(
        name="Duration",
        description="A span of time as ISO 8601 writes it, of weeks, days, hours, minutes and seconds: `P28D`, `PT1H`.",
        specified_by_url="https://www.iso.org/standard/70907.html",
        serialize=write_duration,
        parse_value=_read_duration,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description="A decimal number, exact, written as a string: `12.34`.",
        serialize=str,
        parse_value=_read_decimal,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc8259",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
}
