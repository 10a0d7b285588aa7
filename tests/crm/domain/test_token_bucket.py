"""The token bucket: never faster than the rate allows, whatever the rhythm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crm.domain.token_bucket import TokenBucket

pauses = st.floats(0, 3, allow_nan=False)


@given(st.lists(pauses, min_size=1, max_size=80), st.floats(0.5, 100), st.floats(1, 20))
def test_no_window_lets_more_through_than_the_rate_and_the_burst(gaps: list[float], rate: float, burst: float) -> None:
    bucket, now, used = TokenBucket(rate, burst), 0.0, list[float]()
    for gap in gaps:
        now += gap
        used.append(now + bucket.take(now))
    assert used == sorted(used)
    for first in range(len(used)):
        for last in range(first, len(used)):
            assert last - first + 1 <= burst + 1 + rate * (used[last] - used[first]) + 1e-6


def test_a_burst_goes_at_once_and_then_the_rate_is_kept() -> None:
    bucket = TokenBucket(rate=10, burst=2)
    assert [bucket.take(5.0) for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.2])
