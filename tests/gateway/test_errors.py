"""What a front end sees when something fails."""

import logging

import pytest
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.conftest import Keyring
from tests.gateway.platform import Backend, Client, Configure, gateway_over, standing_in


class InsufficientPoints(FailedPrecondition):
    """The member has fewer points."""


class RuleInvalid(InvalidArgument):
    """A rule breaks the language."""


BURN = 'mutation { burnPoints(input: {programId: "club", memberId: "c1", points: 5}) { entry { points } } }'


async def test_a_refusal_of_a_service_keeps_its_reason_its_metadata_and_its_service(
    client: Client, backend: Backend
) -> None:
    backend.on("loyalty.BurnPoints", InsufficientPoints("3 points are available, 5 are needed", available_points=3))
    answer = await client.ask(BURN)
    assert answer["data"] == {"burnPoints": None}
    (error,) = answer["errors"]
    assert error["message"] == "3 points are available, 5 are needed"
    assert error["path"] == ["burnPoints"]
    assert error["extensions"] == {
        "code": "INSUFFICIENT_POINTS",
        "status": "FAILED_PRECONDITION",
        "service": "loyalty",
        "metadata": {"available_points": "3"},
    }


async def test_paths_into_a_request_are_told_in_the_names_of_the_schema(client: Client, backend: Backend) -> None:
    backend.on("segmentation.PreviewSegment", RuleInvalid("no such event", node="all_of.rules[1].event"))
    error = await client.error('{ previewSegment(rule: {segment: {segmentId: "s"}}) { size } }')
    assert error["extensions"]["metadata"] == {"node": "allOf.rules[1].event"}
    error = await client.error(BURN.replace("points: 5", "points: 0"))
    assert error["extensions"]["code"] == "FIELD_INVALID"
    assert error["extensions"]["metadata"] == {"field": "points"}


async def test_what_does_not_exist_is_null_and_no_error(client: Client, backend: Backend) -> None:
    backend.on("profiles.GetCustomer", NotFound("no such customer"))
    backend.on("recommendation.FindSimilarItems", NotFound("no such item"))
    query = (
        '{ customer(userId: "1") { customerId } similarProducts(id: "x") { modelVersion } product(id: "x") { title } }'
    )
    assert await client.data(query) == {"customer": None, "similarProducts": None, "product": None}


async def test_one_service_that_is_down_costs_its_part_of_the_answer_only(
    configure: Configure, keyring: Keyring, backend: Backend
) -> None:
    backend.on(
        "profiles.GetCustomer", lambda _: profiles.GetCustomerResponse(customer=profiles.Customer(customer_id="c1"))
    )
    async with (
        standing_in("profiles", backend, configure) as up,
        gateway_over(configure, keyring, {"profiles": up.address}) as client,
    ):
        answer = await client.ask('{ customer(userId: "1") { customerId messages { state } rfm { cell } } }')
    assert answer["data"] == {"customer": {"customerId": "c1", "messages": None, "rfm": None}}
    found = {error["path"][-1]: error for error in answer["errors"]}
    assert found["rfm"]["message"] == "segmentation is not reachable for the moment; try again"
    assert found["rfm"]["extensions"] == {"code": "UNAVAILABLE", "status": "UNAVAILABLE", "service": "segmentation"}
    assert found["messages"]["extensions"]["code"] == "UNAVAILABLE"


async def test_what_is_unexpected_is_hidden_and_can_be_found_in_the_log(
    client: Client, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.on("profiles.GetStatistics", RuntimeError("a secret of the database"))
    with caplog.at_level(logging.ERROR):
        error = await client.error("{ profileStatistics { customerCount } }")
    assert error["extensions"]["code"] == "INTERNAL_ERROR"
    error_id = error["extensions"]["metadata"]["error_id"]
    assert error["message"] == f"internal error {error_id}"
    assert error_id in caplog.text


async def test_a_fault_of_the_gateway_itself_is_hidden_too(
    client: Client, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    event = profiles.RecordedEvent(message_id="m1", properties_json="{broken")
    backend.on(
        "profiles.GetCustomer", lambda _: profiles.GetCustomerResponse(customer=profiles.Customer(customer_id="c1"))
    )
    backend.on("profiles.ListEvents", lambda _: profiles.ListEventsResponse(events=[event]))
    answer = await client.ask('{ customer(userId: "1") { timeline { nodes { messageId properties } } } }')
    assert answer["data"] == {"customer": {"timeline": {"nodes": [{"messageId": "m1", "properties": None}]}}}
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INTERNAL_ERROR"
    assert "broken" not in error["message"]
    assert error["extensions"]["metadata"]["error_id"] in caplog.text


async def test_a_figure_that_json_would_round_is_an_error_and_not_rounded(client: Client, backend: Backend) -> None:
    backend.on("profiles.GetStatistics", lambda _: profiles.GetStatisticsResponse(customer_count=2**53, event_count=2))
    answer = await client.ask("{ profileStatistics { customerCount } }")
    assert answer["errors"][0]["extensions"]["code"] == "INTEGER_UNSAFE"


async def test_documents_and_variables_that_are_wrong_have_codes_of_their_own(client: Client) -> None:
    codes = {
        "{ customer(": "GRAPHQL_PARSE_FAILED",
        "{ customerz { id } }": "GRAPHQL_VALIDATION_FAILED",
        "query ($n: Int!) { customers(first: $n) { nodes { id } } }": "BAD_USER_INPUT",
        '{ customer(id: "a", userId: "b") { id } }': "KEY_INVALID",
        "query A { __typename } query B { __typename }": "OPERATION_UNKNOWN",
    }
    found = {query: (await client.http_errors(query))[0]["extensions"]["code"] for query in codes}
    assert found == codes
