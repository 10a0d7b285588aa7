"""What the gateway asks of each service: the arguments of a field are the request of its rpc."""

from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from tessera.common.v1 import job_pb2, rule_pb2
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation

from gateway.schema.global_ids import encode
from tests.gateway.platform import Backend, Client

LAPSED = {
    "allOf": {
        "rules": [
            {
                "event": {
                    "event": "Order Completed",
                    "window": {"within": "P28D"},
                    "aggregate": "SUM",
                    "property": "total",
                    "operator": "AT_LEAST",
                    "values": [{"numberValue": 100.0}],
                }
            },
            {
                "not": {
                    "event": {
                        "event": "Order Completed",
                        "window": {"within": "P7D"},
                        "aggregate": "COUNT",
                        "operator": "GREATER_THAN",
                        "values": [{"numberValue": 0.0}],
                    }
                }
            },
            {"field": {"field": "city", "operator": "ANY_OF", "values": [{"stringValue": "Berlin"}]}},
        ]
    }
}


def _asked(backend: Backend, rpc: str) -> dict[str, Any]:
    (request,) = backend.requests(rpc)
    asked: dict[str, Any] = MessageToDict(request, preserving_proto_field_name=True)
    return asked


async def test_a_rule_goes_in_typed_and_comes_back_in_the_same_form(client: Client, backend: Backend) -> None:
    backend.on(
        "segmentation.CreateSegment",
        lambda request: segmentation.CreateSegmentResponse(
            segment=segmentation.Segment(segment_id="s1", name=request.name, rule=request.rule)
        ),
    )
    query = "mutation ($input: CreateSegmentInput!) { createSegment(input: $input) { segment { id name rule } } }"
    data = await client.data(query, {"input": {"requestId": "r1", "name": "Lapsed", "rule": LAPSED}})
    segment = data["createSegment"]["segment"]
    assert segment == {"id": encode("Segment", "s1"), "name": "Lapsed", "rule": LAPSED}
    (request,) = backend.requests("segmentation.CreateSegment")
    assert request.request_id == "r1"
    first = request.rule.all_of.rules[0].event
    assert first.window.within.seconds == 28 * 86_400
    assert (first.aggregate, first.operator) == (rule_pb2.AGGREGATE_SUM, rule_pb2.OPERATOR_AT_LEAST)
    assert first.values[0].number_value == 100
    await client.data(query, {"input": {"name": "Lapsed", "rule": segment["rule"]}})
    again = backend.requests("segmentation.CreateSegment")[1]
    assert again.rule == request.rule
    assert len(again.request_id) == 32


async def test_a_preview_shows_its_customers(client: Client, backend: Backend) -> None:
    backend.on(
        "segmentation.PreviewSegment",
        lambda _: segmentation.PreviewSegmentResponse(
            size=40, customer_count=90, customer_ids=["c1", "gone"], nodes=[segmentation.NodeCount(count=40)]
        ),
    )
    backend.on(
        "profiles.BatchGetCustomers",
        lambda _: profiles.BatchGetCustomersResponse(customers=[profiles.Customer(customer_id="c1")]),
    )
    query = """query ($rule: RuleInput!) { previewSegment(rule: $rule, first: 2, asOfTime: "2026-05-01T00:00:00Z") {
        size customerCount nodes { path count } customers { customerId } } }"""
    data = await client.data(query, {"rule": LAPSED})
    assert data["previewSegment"] == {
        "size": 40,
        "customerCount": 90,
        "nodes": [{"path": "", "count": 40}],
        "customers": [{"customerId": "c1"}],
    }
    asked = _asked(backend, "segmentation.PreviewSegment")
    assert (asked["sample_size"], asked["as_of_time"]) == (2, "2026-05-01T00:00:00Z")


async def test_a_customer_is_found_by_user_id_or_identifier_and_events_carry_json(
    client: Client, backend: Backend
) -> None:
    customer = ParseDict(
        {
            "customer_id": "c1",
            "traits": [{"name": "city", "value_json": '"Berlin"'}, {"name": "age", "value_json": "42"}],
            "lifetime": {"order_count": 2, "spend": [{"currency": "USD", "amount_minor": 1234}]},
        },
        profiles.Customer(),
    )
    backend.on("profiles.GetCustomer", lambda _: profiles.GetCustomerResponse(customer=customer))
    query = """{ customer(identifier: {type: "email", value: "a@b.example"}) {
        id traits(names: ["age", "none"]) { name value } lifetime { orderCount spend { amount amountMinor } } } }"""
    assert (await client.data(query))["customer"] == {
        "id": encode("Customer", "c1"),
        "traits": [{"name": "age", "value": 42}],
        "lifetime": {"orderCount": 2, "spend": [{"amount": "12.34", "amountMinor": 1234}]},
    }
    assert _asked(backend, "profiles.GetCustomer") == {"identifier": {"type": "email", "value": "a@b.example"}}
    event = {"messageId": "m1", "type": "TRACK", "name": "Order Completed", "userId": "7", "properties": {"a": [1]}}
    backend.on("profiles.IngestEvents", lambda _: profiles.IngestEventsResponse(recorded_count=1))
    query = (
        "mutation ($e: [EventInput!]!) { ingestEvents(input: {events: $e}) { recordedCount rejections { reason } } }"
    )
    data = await client.data(query, {"e": [event]})
    assert data["ingestEvents"] == {"recordedCount": 1, "rejections": []}
    (recorded,) = _asked(backend, "profiles.IngestEvents")["events"]
    assert recorded["properties_json"] == '{"a":[1]}'
    assert recorded["type"] == "EVENT_TYPE_TRACK"


async def test_objects_are_named_by_either_of_their_ids(client: Client, backend: Backend) -> None:
    own, global_id = "s1", encode("Segment", "s1")
    query = "mutation ($id: ID!) { refreshSegment(input: {segmentId: $id}) { segment { name } } }"
    for given in (own, global_id):
        await client.data(query, {"id": given})
    assert {request.segment_id for request in backend.requests("segmentation.RefreshSegment")} == {own}
    wrong = await client.error("query ($id: ID!) { product(id: $id) { title } }", {"id": global_id})
    assert wrong["extensions"]["code"] == "ID_INVALID"
    assert (await client.error('{ node(id: "s1") { id } }'))["extensions"]["code"] == "ID_INVALID"


async def test_a_node_is_the_object_with_its_type(client: Client, backend: Backend) -> None:
    member = loyalty.Member(program_id="club", member_id="c/1", balance_points=7)
    backend.on("loyalty.BatchGetMembers", lambda _: loyalty.BatchGetMembersResponse(members=[member]))
    query = "query ($id: ID!) { node(id: $id) { __typename id ... on Member { balancePoints } } }"
    given = encode("Member", "club", "c/1")
    assert (await client.data(query, {"id": given}))["node"] == {
        "__typename": "Member",
        "id": given,
        "balancePoints": 7,
    }


async def test_a_forecast_and_a_series_are_named_by_enums(client: Client, backend: Backend) -> None:
    answer = ParseDict(
        {
            "forecast": {
                "model": "theta 100",
                "points": [
                    {
                        "start_time": "2026-05-04T00:00:00Z",
                        "value": 10.5,
                        "intervals": [{"level": 80, "upper": 12}],
                        "quantiles": [{"probability": 0.1, "value": 9}],
                    }
                ],
                "backtest": {"accuracy": {"mase": 0.8}, "seasonal_naive": {"mase": 1.0}},
            }
        },
        forecasting.GetForecastResponse(),
    )
    backend.on("forecasting.GetForecast", lambda _: answer)
    query = """{ forecast(measure: SALES, granularity: WEEK, horizon: 8, quantiles: [0.1],
        asOfTime: "2026-05-01T00:00:00Z") { model
        backtest { accuracy { mase wql } } points { startTime value intervals { level lower upper }
        quantiles { probability value } } } }"""
    assert (await client.data(query))["forecast"] == {
        "model": "theta 100",
        "backtest": {"accuracy": {"mase": 0.8, "wql": None}},
        "points": [
            {
                "startTime": "2026-05-04T00:00:00Z",
                "value": 10.5,
                "intervals": [{"level": 80, "lower": 0.0, "upper": 12.0}],
                "quantiles": [{"probability": 0.1, "value": 9.0}],
            }
        ],
    }
    key = {"measure": "MEASURE_SALES", "dimension": "DIMENSION_TOTAL", "granularity": "GRANULARITY_WEEK", "horizon": 8}
    key["as_of_time"] = "2026-05-01T00:00:00Z"
    assert _asked(backend, "forecasting.GetForecast") == {"key": key, "quantiles": [0.1]}
    await client.data(
        """{ series(measure: UNITS, granularity: DAY, dimension: CATEGORY, values: ["GROCERY"],
                    startTime: "2026-05-01T00:00:00+02:00", timeZone: "Europe/Berlin") { series { value } } }"""
    )
    assert _asked(backend, "forecasting.GetSeries") == {
        "measure": "MEASURE_UNITS",
        "dimension": "DIMENSION_CATEGORY",
        "values": ["GROCERY"],
        "granularity": "GRANULARITY_DAY",
        "start_time": "2026-04-30T22:00:00Z",
        "time_zone": "Europe/Berlin",
    }
    job = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING, results={"mase": "0.8"})
    backend.on("forecasting.FitForecasts", lambda _: forecasting.FitForecastsResponse(job=job))
    data = await client.data(
        """mutation { fitForecasts(input: {specs: [{measure: SALES, dimension: TOTAL, granularity: DAY, horizon: 56}]})
           { job { jobId state results { key value } } } }"""
    )
    expected = {"jobId": "j1", "state": "RUNNING", "results": [{"key": "mase", "value": "0.8"}]}
    assert data["fitForecasts"]["job"] == expected


async def test_the_only_programme_need_not_be_named_and_one_of_several_must(client: Client, backend: Backend) -> None:
    query = '{ rewards { nodes { rewardId stockCount } } member(customerId: "c1") { balancePoints } }'
    assert await client.data(query) == {"rewards": {"nodes": []}, "member": None}
    club, other = loyalty.Program(program_id="club"), loyalty.Program(program_id="other")
    reward = loyalty.Reward(reward_id="mug", program_id="club")
    backend.on("loyalty.ListPrograms", lambda _: loyalty.ListProgramsResponse(programs=[club]))
    backend.on("loyalty.ListRewards", lambda _: loyalty.ListRewardsResponse(rewards=[reward]))
    data = await client.data(query)
    assert data["rewards"]["nodes"] == [{"rewardId": "mug", "stockCount": None}]
    backend.on("loyalty.ListPrograms", lambda _: loyalty.ListProgramsResponse(programs=[club, other]))
    codes = [error["extensions"]["code"] for error in (await client.ask(query))["errors"]]
    assert codes == ["PROGRAM_AMBIGUOUS", "PROGRAM_AMBIGUOUS"]
    named = '{ rewards(programId: "club") { nodes { rewardId } } program(id: "other") { programId } }'
    assert (await client.data(named))["program"] == {"programId": "other"}


async def test_a_campaign_is_shown_with_its_counts_its_template_and_its_messages(
    client: Client, backend: Backend
) -> None:
    campaign = crm.Campaign(campaign_id="k1", template_id="t1", segment_id="s1", channel=crm.CHANNEL_EMAIL)
    campaign.counts.sent_count = 3
    backend.on("crm.BatchGetCampaigns", lambda _: crm.BatchGetCampaignsResponse(campaigns=[campaign]))
    template = crm.Template(template_id="t1", name="Spring")
    backend.on("crm.BatchGetTemplates", lambda _: crm.BatchGetTemplatesResponse(templates=[template]))
    message = crm.Message(message_id="m1", campaign_id="k1", state=crm.MESSAGE_STATE_SENT)
    backend.on("crm.ListMessages", lambda _: crm.ListMessagesResponse(messages=[message]))
    query = """{ campaign(id: "k1") { channel counts { sentCount } template { name } segment { name }
        messages(first: 5, state: SENT) { nodes { state campaign { campaignId } } } } }"""
    assert (await client.data(query))["campaign"] == {
        "channel": "EMAIL",
        "counts": {"sentCount": 3},
        "template": {"name": "Spring"},
        "segment": None,
        "messages": {"nodes": [{"state": "SENT", "campaign": {"campaignId": "k1"}}]},
    }
    asked = _asked(backend, "crm.ListMessages")
    assert asked == {"campaign_id": "k1", "state": "MESSAGE_STATE_SENT", "page_size": 5}
    await client.data(
        """mutation { createCampaign(input: {name: "Spring", channel: EMAIL, segmentId: "s1", templateId: "t1",
                      sender: {address: "shop@example.com"}}) { campaign { state } } }"""
    )
    assert _asked(backend, "crm.CreateCampaign")["sender"] == {"address": "shop@example.com"}


async def test_products_have_prices_and_attributes(client: Client, backend: Backend) -> None:
    product = {
        "itemId": "i1",
        "title": "Milk",
        "price": {"currency": "EUR", "amountMinor": 99},
        "attributes": [{"key": "fat", "value": "3.5"}],
    }
    query = "mutation ($p: ProductInput!) { upsertProducts(input: {items: [$p]}) { createdCount } }"
    await client.data(query, {"p": product})
    (item,) = _asked(backend, "recommendation.UpsertItems")["items"]
    price = {"currency": "EUR", "amount_minor": "99"}
    assert item == {"item_id": "i1", "title": "Milk", "price": price, "attributes": {"fat": "3.5"}}
    await client.data('{ recommendations(sessionItemIds: ["i1"], first: 3, filter: {brands: ["A"]}) { modelVersion } }')
    assert _asked(backend, "recommendation.Recommend") == {
        "session_item_ids": ["i1"],
        "count": 3,
        "filter": {"brands": ["A"]},
    }


async def test_a_rejected_event_is_read_as_text_corrected_and_replayed(client: Client, backend: Backend) -> None:
    event = profiles.Event(message_id="m1", type=profiles.EVENT_TYPE_TRACK, user_id="7", properties_json='{"total":')
    letter = profiles.DeadLetter(dead_letter_id="d1", reason="JSON_INVALID", event=event)
    backend.on("profiles.ListDeadLetters", lambda _: profiles.ListDeadLettersResponse(dead_letters=[letter]))
    query = '{ deadLetters(reason: "JSON_INVALID") { nodes { deadLetterId reason event { type propertiesText } } } }'
    shown = {"type": "TRACK", "propertiesText": '{"total":'}
    assert await client.data(query) == {
        "deadLetters": {"nodes": [{"deadLetterId": "d1", "reason": "JSON_INVALID", "event": shown}]}
    }
    assert _asked(backend, "profiles.ListDeadLetters") == {"reason": "JSON_INVALID", "page_size": 20}
    corrected = '{messageId: "m1", type: TRACK, name: "Paid", userId: "7", properties: {total: 5}}'
    replay = f'replayDeadLetters(input: {{deadLetterIds: ["d1"], correctedEvent: {corrected}}}) {{ recordedCount }}'
    await client.data(f"mutation {{ {replay} }}")
    asked = _asked(backend, "profiles.ReplayDeadLetters")
    assert (asked["dead_letter_ids"], asked["corrected_event"]["properties_json"]) == (["d1"], '{"total":5}')
    assert asked["request_id"]
