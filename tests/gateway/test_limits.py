"""What a document may ask for, and what it costs, before anything is executed."""

from typing import Any

import pytest
from graphql import parse, validate
from hypothesis import given
from hypothesis import strategies as st

from gateway.cost import costs
from gateway.limits import AliasesExceeded, DepthExceeded, Limits, RootFieldsExceeded, check_shape
from gateway.schema.build import schema
from services.common.errors import Refusal
from tests.conftest import Keyring
from tests.gateway.platform import Backend, Client, Configure, gateway_over, standing_in

SCHEMA = schema()._schema


def _cost(text: str, variables: dict[str, Any] | None = None, operation: str = "") -> int:
    document = parse(text)
    assert validate(SCHEMA, document) == []
    return costs(SCHEMA, document)[operation](variables or {})


def test_leaves_are_free_an_object_costs_one_and_a_mutation_ten_more() -> None:
    assert _cost("{ __typename }") == 0
    assert _cost('{ customer(userId: "1") { customerId firstSeenTime } }') == 1
    assert _cost('{ customer(userId: "1") { lifetime { orderCount } } }') == 2
    assert _cost('mutation { refreshSegment(input: {segmentId: "s"}) { segment { name } } }') == 12


def test_a_page_costs_as_much_as_it_is_long_and_pages_in_pages_multiply() -> None:
    assert _cost("{ customers(first: 10) { nodes { customerId } } }") == 20
    assert _cost("{ customers { nodes { customerId } } }") == 40
    inside = "nodes { timeline(first: 100) { nodes { name } } }"
    assert _cost(f"{{ customers(first: 10) {{ {inside} }} }}") == 10 * (1 + 1 + 100 * 2)
    assert _cost('{ recommendations(customerId: "c", first: 7) { items { score } } }') == 7 * 2


def test_other_lists_count_as_five() -> None:
    assert _cost('{ customer(userId: "1") { identifiers { value } traits { name } } }') == 1 + 5 + 5
    assert _cost('{ member(customerId: "c") { expiringLots { points } } }') == 1 + 5


def test_sizes_may_be_variables_with_defaults() -> None:
    text = "query Q($n: Int! = 30) { customers(first: $n) { nodes { customerId } } }"
    assert _cost(text, {"n": 5}, "Q") == 10
    assert _cost(text, {}, "Q") == 60
    assert _cost(text, {"n": "many"}, "Q") == 60  # refused when it is executed
    assert _cost(text, {"n": -5}, "Q") == 2


def test_fragments_count_where_they_are_used_and_conditions_as_if_they_held() -> None:
    text = """query { customers(first: 2) { nodes { ...C
                ... on Customer @skip(if: true) { lifetime { orderCount } } } } }
              fragment C on Customer { identifiers { value } }"""
    assert _cost(text) == 2 * (1 + 1 + 5 + 1)


def test_what_is_in_an_interface_counts_for_each_type() -> None:
    text = (
        '{ node(id: "x") { id ... on Customer { lifetime { orderCount } } ... on Campaign { counts { sentCount } } } }'
    )
    assert _cost(text) == 1 + 1 + 1


@given(st.integers(1, 25))
def test_fragments_that_double_each_time_cost_no_time(levels: int) -> None:
    spreads = [
        f"fragment F{n} on Customer {{ a: lifetime {{ orderCount }} ...F{n + 1} ...F{n + 1} }}" for n in range(levels)
    ]
    text = (
        f'{{ customer(userId: "1") {{ ...F0 }} }} {" ".join(spreads)} fragment F{levels} on Customer {{ customerId }}'
    )
    assert costs(SCHEMA, parse(text))[""]({}) == 1 + 2**levels - 1


def test_a_fragment_that_contains_itself_is_measured_and_left_to_validation() -> None:
    document = parse('{ customer(userId: "1") { ...F } } fragment F on Customer { customerId ...F }')
    check_shape(document, Limits())
    assert validate(SCHEMA, document)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("{ a { b { c { d } } } }", DepthExceeded),
        ("{ ...F } fragment F on Query { a { b { c { d } } } }", DepthExceeded),
        ("{ a { ... { b { ... { c { d } } } } } }", DepthExceeded),
        ("{ x: a y: b z: c }", AliasesExceeded),
        ("{ a { ...F ...F } } fragment F on T { x: b y: c }", AliasesExceeded),
        ("{ a b c d e }", RootFieldsExceeded),
        ("{ ...F e } fragment F on Query { a b c d }", RootFieldsExceeded),
    ],
)
def test_shapes_beyond_the_limits_are_refused(text: str, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        check_shape(parse(text), Limits(depth_max=3, aliases_max=2, root_fields_max=4))


def test_shapes_at_the_limits_pass() -> None:
    limits = Limits(depth_max=3, aliases_max=2, root_fields_max=4)
    for text in (
        "{ a { b { c } } }",
        "{ x: a y: b c }",
        "{ a b c d }",
        "{ __schema { types { fields { type { name } } } } }",
    ):
        check_shape(parse(text), limits)


async def test_a_request_that_is_too_dear_is_refused_with_its_cost_and_no_service_is_asked(
    client: Client, backend: Backend
) -> None:
    inside = "nodes { a: timeline(first: 100) { nodes { name } } b: timeline(first: 100) { nodes { name } } }"
    answer = await client.ask(
        f"{{ customers(first: 100) {{ {inside} rest: nodes {{ messages(first: 100) {{ state }} }} }} }}"
    )
    cost = 100 * (1 + 1 + 2 * 100 * 2 + 1 + 100)
    assert answer["extensions"]["cost"] == {"requestedQueryCost": cost, "maximumAvailable": 50_000}
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "COST_EXCEEDED"
    assert error["extensions"]["metadata"] == {"cost": str(cost), "maximum": "50000"}
    assert "data" not in answer
    assert backend.calls == []


async def test_every_answer_tells_its_cost(client: Client) -> None:
    answer = await client.ask("query ($n: Int!) { customers(first: $n) { nodes { id } } }", {"n": 3})
    assert answer["extensions"] == {"cost": {"requestedQueryCost": 6, "maximumAvailable": 50_000}}


async def test_the_ceilings_are_settings(configure: Configure, keyring: Keyring, backend: Backend) -> None:
    limits = {"cost_max": 50, "depth_max": 3, "aliases_max": 1, "root_fields_max": 2, "tokens_max": 40}
    async with (
        standing_in("profiles", backend, configure) as up,
        gateway_over(configure, keyring, {"profiles": up.address}, **limits) as client,
    ):
        cases = {
            "{ customers(first: 100) { nodes { id } } }": "COST_EXCEEDED",
            "{ customers { nodes { lifetime { orderCount } } } }": "DEPTH_EXCEEDED",
            "{ a: profileStatistics { customerCount } b: profileStatistics { eventCount } }": "ALIASES_EXCEEDED",
            "{ __typename profileStatistics { eventCount } customers { nodes { id } } }": "ROOT_FIELDS_EXCEEDED",
            "{ profileStatistics { " + "eventCount " * 50 + "} }": "GRAPHQL_PARSE_FAILED",
        }
        found = {query: (await client.http_errors(query))[0]["extensions"]["code"] for query in cases}
    assert found == cases
    assert backend.calls == []
