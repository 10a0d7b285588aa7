"""What is kept of events' properties is bounded, names nobody, and what is left out is named."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.flat.properties import flatten
from services.forecasting.domain.event_properties import (
    PATH_LENGTH_MAX,
    PATHS_MAX,
    TEXT_LENGTH_MAX,
    VALUES_MAX,
    bounded,
    personal,
)

SCALARS = st.none() | st.booleans() | st.floats(-1e9, 1e9) | st.text(max_size=300)
NAMES = st.sampled_from(["plan", "seats", "email", "items", "x" * 120]) | st.text(min_size=1, max_size=6)
OBJECTS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=30) | st.dictionaries(NAMES, inner, max_size=5))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, OBJECTS, max_size=8))
def test_every_property_is_kept_whole_or_named_as_left_out(properties: dict[str, object]) -> None:
    flat = flatten(properties)
    kept, left_out = bounded(flat)
    assert len(kept.present) <= PATHS_MAX
    assert not any(personal(path) or len(path) > PATH_LENGTH_MAX for path in kept.present)
    for was, name in ((flat, name) for name in ("texts", "numbers", "flags", "instants", "elements")):
        values = getattr(kept, name)
        assert values == {path: each for path, each in getattr(was, name).items() if path in kept.present}
        assert all(len(each) <= VALUES_MAX for each in values.values())
    assert all(len(text) <= TEXT_LENGTH_MAX for texts in kept.texts.values() for text in texts)
    gone = [path for path in flat.present if path not in kept.present]
    assert left_out == [path[:PATH_LENGTH_MAX] for path in gone][: len(left_out)]
    assert len(left_out) == min(len(gone), 50)


def test_what_says_who_somebody_is_stays_out_wherever_it_is() -> None:
    flat = flatten({"plan": "gold", "E-Mail": "a@b.example", "user": {"first_name": "Ada"}, "address": {"zip": "1"}})
    kept, left_out = bounded(flat)
    assert list(kept.present) == ["plan", "user"]
    assert left_out == ["E-Mail", "user.first_name", "address.zip", "address"]


def test_a_long_list_or_text_is_left_out_whole() -> None:
    kept, left_out = bounded(flatten({"tags": ["t"] * 21, "note": "n" * 257, "few": ["t"] * 20, "short": "n" * 256}))
    assert list(kept.present) == ["few", "short"]
    assert left_out == ["tags", "note"]
