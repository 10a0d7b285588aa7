"""Expressions of ibis are compared and ended by several threads at once."""

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ibis.common.bases import Comparable

import services.common.columnar  # noqa: F401  # makes comparisons safe

THREADS, ROUNDS, VALUES = 4, 4000, 5


class Value(Comparable):  # type: ignore[misc]
    """What is equal if its number is."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __equals__(self, other: "Value") -> bool:
        return self.number == other.number

    def __hash__(self) -> int:
        return hash(self.number)


@pytest.fixture
def busy() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def compared(shared: list[Value]) -> int:
    """How many answers were wrong, while others compare and end the same ones."""
    wrong = 0
    for turn in range(ROUNDS):
        one = Value(turn % VALUES)
        for other in list(shared):
            wrong += (one == other) is not (one.number == other.number)
        shared[turn % len(shared)] = one
    return wrong


def test_threads_that_compare_and_end_the_same_expressions_get_right_answers_and_leave_nothing(busy: None) -> None:
    before = len(Comparable.__cache__)
    shared = [Value(number) for number in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as threads:
        assert sum(threads.map(compared, [shared] * THREADS)) == 0
    shared.clear()
    gc.collect()
    assert len(Comparable.__cache__) <= before
