"""RFM and the rule segment of ``make run``, against the raw tables."""

from collections import Counter
from collections.abc import Iterable

import pytest
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation

from tests.platform.demo import Client, instant, seconds
from tests.platform.retailer import DAY, Retailer

pytestmark = pytest.mark.timeout(500)

ORDER = "Order Completed"
LAPSING = {
    "allOf": {
        "rules": [
            {"event": {"event": ORDER, "window": {"within": "P28D"}, "aggregate": "SUM", "property": "total",
                       "operator": "AT_LEAST", "values": [{"numberValue": 100}]}},
            {"event": {"event": ORDER, "window": {"within": "P7D"}, "aggregate": "COUNT",
                       "operator": "EQUALS", "values": [{"numberValue": 0}]}},
        ]
    }
}  # fmt: skip
PREVIEW = """query Preview($rule: RuleInput!, $at: DateTime!) {
  previewSegment(rule: $rule, asOfTime: $at, first: 100) { size customerCount customers { customerId } }
}"""
GROUPS = {
    "CHAMPIONS": ("5", "45"), "LOYAL": ("34", "45"), "POTENTIAL_LOYALISTS": ("45", "23"), "NEW": ("5", "1"),
    "PROMISING": ("4", "1"), "NEEDS_ATTENTION": ("3", "3"), "ABOUT_TO_SLEEP": ("3", "12"),
    "CANNOT_LOSE": ("12", "5"), "AT_RISK": ("12", "34"), "HIBERNATING": ("12", "12"),
    "LOST": ("1", "1"),
}  # fmt: skip


@pytest.mark.parametrize("days_before_the_end", [-2, 0, 100, 355])
def test_every_household_has_its_rfm(client: Client, retailer: Retailer, days_before_the_end: int) -> None:
    at = _end(retailer) - days_before_the_end * DAY
    expected = retailer.rfm(at)
    rfms = [rfm for ids in _thousands(client.households) for rfm in _rfms(client, ids, at)]
    answered = {
        client.households[rfm.customer_id]: (
            rfm.recency_days,
            rfm.frequency,
            rfm.monetary.amount_minor,
            rfm.recency_score,
            rfm.frequency_score,
            rfm.monetary_score,
        )
        for rfm in rfms
    }
    assert answered == expected
    assert {rfm.monetary.currency for rfm in rfms} == {"USD"}
    assert all(rfm.cell == f"{rfm.recency_score}{rfm.frequency_score}{rfm.monetary_score}" for rfm in rfms)
    groups = [segmentation.RfmGroup.Name(rfm.group).removeprefix("RFM_GROUP_") for rfm in rfms]
    assert groups == [_group(rfm.recency_score, rfm.frequency_score) for rfm in rfms]


def test_the_groups_of_the_summary_are_what_their_customers_come_to(client: Client, retailer: Retailer) -> None:
    at = _end(retailer)
    answer = client.call("segmentation", "GetRfmSummary", as_of_time=instant(at))
    counts, values = Counter[str](), Counter[str]()
    for _, _, monetary, recency_score, frequency_score, _ in retailer.rfm(at).values():
        group = _group(recency_score, frequency_score)
        counts[group] += 1
        values[group] += monetary
    names = [segmentation.RfmGroup.Name(group.group).removeprefix("RFM_GROUP_") for group in answer.groups]
    assert names == list(GROUPS)
    assert [group.customer_count for group in answer.groups] == [counts[name] for name in GROUPS]
    assert [group.value.amount_minor for group in answer.groups] == [values[name] for name in GROUPS]
    assert (answer.customer_count, answer.value.amount_minor) == (2469, sum(values.values()))


def test_the_gateway_answers_the_rfm_of_a_customer(client: Client, retailer: Retailer) -> None:
    query = "query Rfm($user: String!) { customer(userId: $user) { rfm { frequency monetary { amountMinor } cell } } }"
    expected = retailer.rfm(_end(retailer) + 30 * DAY)
    for household in list(expected)[::250]:
        rfm = client.ask(query, user=str(household))["customer"]["rfm"]
        assert (rfm["frequency"], rfm["monetary"]["amountMinor"]) == expected[household][1:3]
        assert rfm["cell"][1:] == "".join(map(str, expected[household][4:]))


@pytest.mark.parametrize("days_before_the_end", [0, 1, 3.25, 60, 200, 365])
def test_a_rule_finds_who_fulfilled_it_at_a_moment(
    client: Client, retailer: Retailer, days_before_the_end: float
) -> None:
    at = _end(retailer) - round(days_before_the_end * DAY)
    expected = retailer.lapsing(at)
    moment = instant(at).ToJsonString()
    preview = client.ask(PREVIEW, rule=LAPSING, at=moment)["previewSegment"]
    first = {client.households[customer["customerId"]] for customer in preview["customers"]}
    assert preview["size"] == len(expected)
    assert len(first) == min(100, len(expected))
    assert first <= expected


def test_a_rule_finds_exactly_these_customers(client: Client, retailer: Retailer) -> None:
    at = _end(retailer)
    rule = _stored(client).rule
    preview = client.call("segmentation", "PreviewSegment", rule=rule, sample_size=1000, as_of_time=instant(at))
    assert {client.households[customer_id] for customer_id in preview.customer_ids} == retailer.lapsing(at)
    assert preview.nodes[0].count == preview.size
    assert len(preview.nodes) == 3


def test_the_stored_segment_has_the_members_of_its_newest_evaluation(client: Client, retailer: Retailer) -> None:
    segment = _stored(client)
    client.call("segmentation", "RefreshSegment", segment_id=segment.segment_id)
    before, members, after = None, set[int](), _stored(client)
    while before != after:  # as long as time moves members between the answers
        before = after
        listed = client.pages("segmentation", "ListMembers", "members", segment_id=segment.segment_id)
        members = {client.households[member.customer_id] for member in listed}
        after = _stored(client)
    assert after.member_count == len(members)
    assert members == retailer.lapsing(seconds(after.refresh_time))


def test_what_entered_and_left_adds_up_to_the_members(client: Client, retailer: Retailer) -> None:
    segment = _stored(client)
    members: set[str] = set()
    evaluations = []
    for answer in client.stream("segmentation", "FollowMemberships", segment_ids=[segment.segment_id]):
        for change in answer.changes:
            entered = change.transition == segmentation.TRANSITION_ENTERED
            assert (change.customer_id in members) != entered
            members ^= {change.customer_id}
            evaluations.append(seconds(change.change_time))
    first = {client.households[customer_id] for customer_id in members}
    assert evaluations == sorted(evaluations)
    assert first == retailer.lapsing(evaluations[-1])
    assert len(retailer.lapsing(evaluations[0])) == evaluations.count(evaluations[0])


def _stored(client: Client) -> segmentation.Segment:
    (segment,) = client.pages("segmentation", "ListSegments", "segments")
    assert isinstance(segment, segmentation.Segment)
    return segment


def _rfms(client: Client, customer_ids: list[str], at: int) -> list[segmentation.Rfm]:
    request = {"customer_ids": customer_ids, "currency": "USD", "as_of_time": instant(at)}
    return list(client.call("segmentation", "BatchGetRfm", **request).rfms)


def _thousands(customer_ids: Iterable[str]) -> list[list[str]]:
    every = sorted(customer_ids)
    return [every[start : start + 1000] for start in range(0, len(every), 1000)]


def _group(recency_score: int, frequency_score: int) -> str:
    if (recency_score, frequency_score) == (1, 1):  # the far corner of those who hibernate
        return "LOST"
    (group,) = (
        name
        for name, (recency, frequency) in GROUPS.items()
        if str(recency_score) in recency and str(frequency_score) in frequency
    )
    return group


def _end(retailer: Retailer) -> int:
    return int(retailer.orders["time"].max())
