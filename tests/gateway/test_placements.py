"""Placements, feedback and scenarios of a real recommendation service, through GraphQL."""

from collections.abc import AsyncIterator

import pytest

from services.recommendation.app import Settings, serve
from tests.conftest import Keyring
from tests.gateway.platform import Client, Configure, gateway_over

NOBODY = "127.0.0.1:1"


@pytest.fixture
async def shop(configure: Configure, keyring: Keyring) -> AsyncIterator[Client]:
    chosen = configure(Settings, profiles_addr=NOBODY, segmentation_addr=NOBODY)
    async with serve(chosen) as up, gateway_over(configure, keyring, {"recommendation": up.address}) as client:
        yield client


async def test_what_is_bought_together_says_by_which_counts_and_why(shop: Client) -> None:
    item = '{itemId: "tea", title: "tea"}'
    await shop.data(f'mutation {{ upsertProducts(input: {{requestId: "1", items: [{item}]}}) {{ createdCount }} }}')
    asked = 'boughtTogether(id: "tea", variant: AUTOMATIC, windowDays: %s) { relaxedReason emptyReason }'
    found = await shop.data(f"{{ {asked % 14} }}")
    assert found == {"boughtTogether": {"relaxedReason": "NO_MODEL", "emptyReason": "NOTHING_RELATED"}}
    figures = "items { reasons { association { variant smoothedLift categoryLift } } }"
    assert await shop.data(f'{{ boughtTogether(id: "tea") {{ {figures} }} }}') == {"boughtTogether": {"items": []}}


async def test_a_placement_makes_a_list_whose_feedback_is_reported(shop: Client) -> None:
    items = ", ".join(f'{{itemId: "{name}", title: "{name}"}}' for name in ("tea", "milk", "bread"))
    await shop.data(f'mutation {{ upsertProducts(input: {{requestId: "1", items: [{items}]}}) {{ createdCount }} }}')
    control = '{controlId: "own", effect: PIN, position: 1, items: {itemIds: ["milk"]}}'
    placement = f'{{placementId: "home", scenario: FOR_YOU, controls: [{control}]}}'
    saved = (
        f'mutation {{ savePlacement(input: {{requestId: "2", placement: {placement}}}) {{ placement {{ version }} }} }}'
    )
    assert await shop.data(saved) == {"savePlacement": {"placement": {"version": 1}}}
    asked = '{ recommendations(placementId: "home") { recommendationId items { itemId applied { kind controlId } } } }'
    listed = (await shop.data(asked))["recommendations"]
    assert listed["items"][0] == {"itemId": "milk", "applied": [{"kind": "PIN", "controlId": "own"}]}
    event = f'{{eventId: "e", recommendationId: "{listed["recommendationId"]}", itemId: "milk", kind: CLICK}}'
    told = (
        f'mutation {{ recordRecommendationFeedback(input: {{requestId: "3", events: [{event}]}}) {{ acceptedCount }} }}'
    )
    assert await shop.data(told) == {"recordRecommendationFeedback": {"acceptedCount": 1}}
    report = await shop.data(
        "{ recommendationReport { rows { placementId clickCount } popular: total { clickCount } } }"
    )
    assert report["recommendationReport"]["rows"] == [{"placementId": "home", "clickCount": 1}]
    shelves = await shop.data('{ rerank(itemIds: ["tea", "milk"]) { items { itemId } } bundles { emptyReason } }')
    assert [each["itemId"] for each in shelves["rerank"]["items"]] == ["tea", "milk"]


async def test_trainings_are_set_up_and_listed(shop: Client) -> None:
    weights = '{viewBp: 500, cartBp: 2000, halfLifeDuration: "P10D"}'
    saved = await shop.data(
        f"""mutation {{ saveTrainingSettings(input: {{requestId: "s", settings: {{feedbackWeights: {weights}}}}}) {{
            settings {{ feedbackWeights {{ viewBp cartBp }} }} }} }}"""
    )
    assert saved["saveTrainingSettings"]["settings"]["feedbackWeights"] == {"viewBp": 500, "cartBp": 2000}
    read = await shop.data("{ trainingSettings { feedbackWeights { cartBp } } trainingJobs { nodes { jobId } } }")
    assert read == {"trainingSettings": {"feedbackWeights": {"cartBp": 2000}}, "trainingJobs": {"nodes": []}}
    assert await shop.data('{ trainingJob(id: "none") { jobId } }') == {"trainingJob": None}


async def test_a_candidate_that_the_log_does_not_support_is_refused_with_the_reason(shop: Client) -> None:
    error = await shop.error("{ policyEstimate(input: {policy: {kind: CHANCE}}) { snips { value } lineCount } }")
    assert (error["extensions"]["code"], error["extensions"]["metadata"]["line_count"]) == ("NO_SUPPORT", "0")


async def test_demand_is_made_of_what_the_shop_says_and_new_products_tell_since_when_they_are_here(
    shop: Client,
) -> None:
    items = (
        '{itemId: "tea", publishTime: "2026-01-02T00:00:00Z"}, {itemId: "milk", publishTime: "2026-01-03T00:00:00Z"}'
    )
    await shop.data(f'mutation {{ upsertProducts(input: {{requestId: "1", items: [{items}]}}) {{ createdCount }} }}')
    found = await shop.data("{ newest(first: 1) { items { itemId reasons { kind availableTime interaction } } } }")
    reason = {"kind": "NEW", "availableTime": "2026-01-03T00:00:00Z", "interaction": None}
    assert found["newest"]["items"] == [{"itemId": "milk", "reasons": [reason]}]
    weights = '[{kind: VIEW, weight: 0.1, windowDuration: "P7D"}]'
    asked = f"popular(interactions: {weights}) {{ emptyReason }} trending(interactions: {weights}) {{ emptyReason }}"
    nothing = {"emptyReason": "NOTHING_RELATED"}
    assert await shop.data(f"{{ {asked} }}") == {"popular": nothing, "trending": nothing}
    placement = f'{{placementId: "seen", scenario: POPULAR, demand: {{interactions: {weights}}}}}'
    saved = await shop.data(
        f"""mutation {{ savePlacement(input: {{requestId: "2", placement: {placement}}}) {{
            placement {{ demand {{ interactions {{ kind weight windowDuration }} maxAgeDuration }} }} }} }}"""
    )
    told = [{"kind": "VIEW", "weight": 0.1, "windowDuration": "P7D"}]
    assert saved["savePlacement"]["placement"]["demand"] == {"interactions": told, "maxAgeDuration": None}


async def test_a_list_is_read_page_by_page(shop: Client) -> None:
    items = ", ".join(f'{{itemId: "p{number}"}}' for number in range(5))
    await shop.data(f'mutation {{ upsertProducts(input: {{requestId: "1", items: [{items}]}}) {{ createdCount }} }}')
    page = "{ recommendationId firstRecommendationId resumableUntilTime emptyReason items { itemId } }"
    first = (await shop.data(f"{{ recommendations(first: 2, resumable: true) {page} }}"))["recommendations"]
    found, at = [first], first
    while at["resumableUntilTime"]:
        asked = f'nextRecommendations(recommendationId: "{at["recommendationId"]}")'
        at = (await shop.data(f"{{ {asked} {page} }}"))["nextRecommendations"]
        found.append(at)
    assert [len(each["items"]) for each in found] == [2, 2, 1]
    assert len({item["itemId"] for each in found for item in each["items"]}) == 5
    assert {each["firstRecommendationId"] for each in found} == {first["recommendationId"]}
    ended = f'nextRecommendations(recommendationId: "{at["recommendationId"]}", first: 3)'
    assert await shop.data(f"{{ {ended} {page} }}") == {"nextRecommendations": None}


async def test_a_page_is_composed_of_rows_in_which_no_product_comes_twice(shop: Client) -> None:
    items = ", ".join(f'{{itemId: "p{at}", categories: ["C{at % 2}"], brand: "B"}}' for at in range(6))
    await shop.data(f'mutation {{ upsertProducts(input: {{requestId: "1", items: [{items}]}}) {{ createdCount }} }}')
    facets = "recommendedFacets(facet: BRAND) { facets { name score itemIds reasons { kind } } emptyReason }"
    (brand,) = (await shop.data(f"{{ {facets} }}"))["recommendedFacets"]["facets"]
    assert (brand["name"], brand["score"], len(brand["itemIds"])) == ("B", 1, 5)
    row = "title sourceIndex facet { name items { itemId } } recommendations { recommendationId items { itemId } }"
    asked = '[{title: "For you"}, {facet: CATEGORY}]'
    rows = (await shop.data(f"{{ recommendedRows(first: 2, rows: {asked}) {{ {row} }} }}"))["recommendedRows"]
    assert (rows[0]["title"], rows[0]["sourceIndex"], rows[0]["facet"]) == ("For you", 0, None)
    assert sorted(each["facet"]["name"] for each in rows[1:]) == ["C0", "C1"]
    found = [item["itemId"] for each in rows for item in each["recommendations"]["items"]]
    assert sorted(found) == [f"p{at}" for at in range(6)]
