"""Explanations, overlap, dependents, versions and calculations of segments as GraphQL answers them."""

from tessera.common.v1 import rule_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.segmentation.v1 import segmentation_service_pb2 as pb

from tests.gateway.platform import Backend, Client

ROME = rule_pb2.Rule(
    field=rule_pb2.Comparison(
        field="city", operator=rule_pb2.OPERATOR_EQUALS, values=[rule_pb2.Value(string_value="Rome")]
    )
)
ROME_INPUT = {"field": {"field": "city", "operator": "EQUALS", "values": [{"stringValue": "Rome"}]}}


async def test_an_explanation_shows_what_was_found(client: Client, backend: Backend) -> None:
    node = pb.NodeExplanation(
        path="field",
        found=[rule_pb2.Value(string_value="Graz"), rule_pb2.Value(number_value=2)],
        operator=rule_pb2.OPERATOR_EQUALS,
        expected=ROME.field.values,
    )
    group = pb.NodeExplanation(path="not", fulfilled=True)
    backend.on(
        "segmentation.ExplainMembership",
        lambda _: pb.ExplainMembershipResponse(fulfilled=True, nodes=[group, node]),
    )
    query = """query ($rule: RuleInput!) { explainSegment(customerId: "c1", rule: $rule) {
        fulfilled nodes { path fulfilled operator found { stringValue numberValue } expected { stringValue } } } }"""
    explained = (await client.data(query, {"rule": ROME_INPUT}))["explainSegment"]
    assert explained["fulfilled"] is True
    assert explained["nodes"] == [
        {"path": "not", "fulfilled": True, "operator": None, "found": [], "expected": []},
        {
            "path": "field",
            "fulfilled": False,
            "operator": "EQUALS",
            "found": [{"stringValue": "Graz", "numberValue": None}, {"stringValue": None, "numberValue": 2}],
            "expected": [{"stringValue": "Rome"}],
        },
    ]
    (asked,) = backend.requests("segmentation.ExplainMembership")
    assert (asked.customer_id, asked.rule, asked.segment_id) == ("c1", ROME, "")
    await client.data('{ explainSegment(customerId: "c1", segmentId: "s1") { fulfilled } }')
    assert backend.requests("segmentation.ExplainMembership")[1].segment_id == "s1"


async def test_a_condition_on_members_is_taken_and_explained_with_the_member(client: Client, backend: Backend) -> None:
    told = [pb.NodeExplanation(path="members", fulfilled=True, member_customer_id="c2"), pb.NodeExplanation(path="x")]
    backend.on("segmentation.ExplainMembership", lambda _: pb.ExplainMembershipResponse(fulfilled=True, nodes=told))
    backend.on(
        "profiles.BatchGetCustomers",
        lambda request: profiles_pb.BatchGetCustomersResponse(
            customers=[profiles_pb.Customer(customer_id=each) for each in request.customer_ids]
        ),
    )
    query = """query ($rule: RuleInput!) { explainSegment(customerId: "c1", rule: $rule) {
        nodes { path member { customerId } } } }"""
    members = {"kind": "household", "quantifier": "COUNT", "rule": ROME_INPUT, "othersOnly": True}
    members |= {"operator": "AT_LEAST", "values": [{"numberValue": 2}]}
    trait = {"kind": "account", "trait": ROME_INPUT["field"]}
    rule = {"allOf": {"rules": [{"members": members}, {"group": trait}]}}
    explained = (await client.data(query, {"rule": rule}))["explainSegment"]
    assert explained["nodes"] == [
        {"path": "members", "member": {"customerId": "c2"}},
        {"path": "x", "member": None},
    ]
    (asked,) = backend.requests("segmentation.ExplainMembership")
    condition, group = (part for part in asked.rule.all_of.rules)
    assert (condition.members.kind, condition.members.rule, condition.members.others_only) == ("household", ROME, True)
    assert condition.members.quantifier == rule_pb2.QUANTIFIER_COUNT
    assert condition.members.values[0].number_value == 2
    assert group.group == rule_pb2.GroupTraitCondition(kind="account", trait=ROME.field)


async def test_overlap_and_dependents_name_segments(client: Client, backend: Backend) -> None:
    backend.on(
        "segmentation.GetSegmentOverlap",
        lambda request: pb.GetSegmentOverlapResponse(
            sizes=[pb.SegmentSize(segment_id=each, member_count=4) for each in request.segment_ids],
            pairs=[pb.SegmentPair(segment_id="s1", other_segment_id="s2", both_count=1, jaccard=0.25)],
            all_count=1,
            any_count=7,
        ),
    )
    backend.on(
        "segmentation.BatchGetSegments",
        lambda request: pb.BatchGetSegmentsResponse(
            segments=[pb.Segment(segment_id=each, name=f"named {each}") for each in request.segment_ids]
        ),
    )
    backend.on(
        "segmentation.ListDependents",
        lambda _: pb.ListDependentsResponse(dependents=[pb.Dependent(segment_id="s2", direct=True)]),
    )
    answer = await client.data(
        """{ segmentOverlap(segmentIds: ["s1", "s2"]) {
          sizes { segmentId memberCount } pairs { segmentId otherSegmentId bothCount jaccard } allCount anyCount }
        segment(id: "s1") { dependents { nodes { direct segment { name } } } } }"""
    )
    assert answer["segmentOverlap"] == {
        "sizes": [{"segmentId": "s1", "memberCount": 4}, {"segmentId": "s2", "memberCount": 4}],
        "pairs": [{"segmentId": "s1", "otherSegmentId": "s2", "bothCount": 1, "jaccard": 0.25}],
        "allCount": 1,
        "anyCount": 7,
    }
    assert answer["segment"]["dependents"]["nodes"] == [{"direct": True, "segment": {"name": "named s2"}}]


async def test_what_a_segment_was_is_shown_in_the_form_of_an_input(client: Client, backend: Backend) -> None:
    version = pb.SegmentVersion(version=1, name="Romans", rule=ROME, author="ann")
    backend.on(
        "segmentation.BatchGetSegments", lambda _: pb.BatchGetSegmentsResponse(segments=[pb.Segment(segment_id="s1")])
    )
    backend.on("segmentation.ListSegmentVersions", lambda _: pb.ListSegmentVersionsResponse(versions=[version]))
    backend.on(
        "segmentation.CompareSegmentVersions",
        lambda _: pb.CompareSegmentVersionsResponse(
            before=version, after=version, differences=[pb.RuleDifference(path="field", before=ROME)]
        ),
    )
    backend.on(
        "segmentation.ListCalculations",
        lambda _: pb.ListCalculationsResponse(calculations=[pb.Calculation(member_count=3, error="late")]),
    )
    answer = await client.data(
        """{ segment(id: "s1") {
          versions { nodes { version author rule } }
          comparison(fromVersion: 1, toVersion: 2) { before { version } differences { path before after } }
          calculations { memberCount error } } }"""
    )
    assert answer["segment"] == {
        "versions": {"nodes": [{"version": 1, "author": "ann", "rule": ROME_INPUT}]},
        "comparison": {
            "before": {"version": 1},
            "differences": [{"path": "field", "before": ROME_INPUT, "after": None}],
        },
        "calculations": [{"memberCount": 3, "error": "late"}],
    }
