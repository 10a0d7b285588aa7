"""Codes: drawn evenly, read without confusion, checked without a service."""

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.domain.coupon_code import (
    ALPHABET,
    CouponPatternInvalid,
    check_character,
    check_pattern,
    checks,
    generate,
    normal,
)


def test_codes_keep_their_pattern_and_never_use_what_looks_alike() -> None:
    codes = list(generate("SPRING-####-####", False, 1000, os.urandom))
    assert len(set(codes)) == 1000
    assert all(code.startswith("SPRING-") and len(code) == 16 and code[11] == "-" for code in codes)
    assert not set("".join(code[7:] for code in codes)) & set("01OIL")


def test_every_character_is_as_likely_as_every_other() -> None:
    counts = Counter("".join(generate("#" * 20, False, 5000, os.urandom)))
    expected = 100_000 / len(ALPHABET)
    # Chi-squared with 30 degrees of freedom is above 80 once in some millions of times.
    assert sum((counts[each] - expected) ** 2 / expected for each in ALPHABET) < 80


@given(st.text(ALPHABET, min_size=2, max_size=29), st.data())
def test_the_check_character_finds_every_wrong_character_and_every_two_that_changed_places(
    body: str, data: st.DataObject
) -> None:
    code = body + check_character(body)
    assert checks(code)
    at = data.draw(st.integers(0, len(body) - 1))
    wrong = data.draw(st.sampled_from([each for each in ALPHABET if each != code[at]]))
    assert not checks(code[:at] + wrong + code[at + 1 :])
    if at and code[at] != code[at - 1]:
        assert not checks(code[: at - 1] + code[at] + code[at - 1] + code[at + 1 :])


def test_generated_codes_with_a_check_character_check() -> None:
    assert all(map(checks, generate("A-########", True, 100, os.urandom)))


@pytest.mark.parametrize(
    ("pattern", "checksum", "count"),
    [
        ("######", False, 100_000),
        ("lower####", False, 1),
        ("#######-X", True, 1),
        ("A/########", False, 1),
        ("", False, 1),
    ],
)
def test_a_pattern_that_could_be_guessed_or_written_wrong_is_refused(pattern: str, checksum: bool, count: int) -> None:
    with pytest.raises(CouponPatternInvalid):
        check_pattern(pattern, checksum, count)


def test_people_may_write_codes_in_lower_case_and_with_spaces() -> None:
    assert normal(" spring 24-ab ") == "SPRING24-AB"
