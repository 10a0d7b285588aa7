"""How values of the schema are written and read."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration as DurationMessage
from google.protobuf.timestamp_pb2 import Timestamp
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema.scalars import SAFE_INTEGER_MAX, SCALARS, DateTime, Duration, IntegerUnsafe, SafeInt


def _write(kind: object, value: Any) -> Any:
    serialize = SCALARS[kind].serialize
    assert serialize is not None
    return serialize(value)


def _read(kind: object, value: Any) -> Any:
    parse = SCALARS[kind].parse_value
    assert parse is not None
    return parse(value)


@given(st.integers(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX))
def test_a_safe_integer_comes_back_as_it_went_in_as_a_number_or_as_digits(number: int) -> None:
    assert _write(SafeInt, number) == number
    assert _read(SafeInt, number) == number
    assert _read(SafeInt, str(number)) == number


def test_an_integer_that_json_would_round_is_refused() -> None:
    with pytest.raises(IntegerUnsafe):
        _write(SafeInt, SAFE_INTEGER_MAX + 1)
    for wrong in (SAFE_INTEGER_MAX + 1, "12.5", 1.5, True, None, ""):
        with pytest.raises((GraphQLError, IntegerUnsafe)):
            _read(SafeInt, wrong)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_an_instant_comes_back_to_the_microsecond(micros: int) -> None:
    instant = Timestamp()
    instant.FromMicroseconds(micros)
    written = _write(DateTime, instant)
    assert written.endswith("Z")
    assert _read(DateTime, written) == instant


def test_an_instant_needs_an_offset() -> None:
    assert _read(DateTime, "2026-05-01T14:00:00+02:00") == _read(DateTime, "2026-05-01T12:00:00Z")
    for wrong in ("2026-05-01T14:00:00", "yesterday", 7, None):
        with pytest.raises(GraphQLError):
            _read(DateTime, wrong)


@given(st.timedeltas(timedelta(0), timedelta(days=3000)))
def test_a_span_comes_back_as_it_went_in(span: timedelta) -> None:
    message = DurationMessage()
    message.FromTimedelta(span)
    assert _read(Duration, _write(Duration, message)) == message


def test_spans_are_written_as_iso_8601_says() -> None:
    assert [_write(Duration, DurationMessage(seconds=s)) for s in (0, 86_400, 90_061, 3600)] == [
        "PT0S",
        "P1D",
        "P1DT3661S",
        "PT3600S",
    ]
    assert _read(Duration, "P4W") == DurationMessage(seconds=28 * 86_400)
    assert _read(Duration, "P1DT2H3M4.5S").ToTimedelta() == timedelta(days=1, hours=2, minutes=3, seconds=4.5)
    for wrong in ("P", "PT", "P1M", "P1Y", "28 days", 28):
        with pytest.raises(GraphQLError):
            _read(Duration, wrong)
