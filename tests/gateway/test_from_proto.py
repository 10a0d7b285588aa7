"""What the schema makes of a contract."""

import re
from textwrap import dedent
from typing import Annotated, Any

import pytest
from google.protobuf.json_format import ParseDict
from graphql import graphql_sync, print_type
from strawberry import Parent
from tessera.common.v1 import job_pb2, money_pb2, rule_pb2
from tessera.forecasting.v1 import series_pb2
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as recommendation

from gateway.schema.access import ANY_TOKEN
from gateway.schema.build import build, sdl
from gateway.schema.connections import Page
from gateway.schema.fields import Fields
from gateway.schema.from_proto import ProtoTypes, UnknownField
from services.common.auth import Principal


class Context:
    principal = Principal("tester", "acme", frozenset())

    def forget(self) -> None:
        """Nothing is kept."""


def _printed(types: ProtoTypes, message: type, kind: str) -> str:
    """The SDL of one type, without descriptions."""
    fields = Fields(types)

    def root() -> Any:
        return None

    root.__annotations__["return"] = message
    fields.query(ANY_TOKEN)(root)
    printed = print_type(build(types, fields)._schema.type_map[kind])
    bare = re.sub(r'^ *"""(?:.|\n)*?"""\n', "", printed, flags=re.MULTILINE)
    return re.sub(r"\n\n", "\n", bare)


def test_an_object_exposes_only_the_fields_that_are_listed() -> None:
    types = ProtoTypes()

    @types.object(money_pb2.Money, "amount_minor")
    class Money: ...

    expected = """\
        type Money {
          amountMinor: SafeInt!
        }"""
    assert _printed(types, money_pb2.Money, "Money") == dedent(expected)


def test_what_can_be_unset_is_nullable_and_the_rest_is_not() -> None:
    types = ProtoTypes()

    @types.object(money_pb2.Money, "currency")
    class Money: ...

    @types.object(loyalty.Reward, "reward_id", "name", "cost_points", "stock_count", "create_time")
    class Reward: ...

    expected = """\
        type Reward {
          rewardId: ID!
          name: String!
          costPoints: SafeInt!
          stockCount: SafeInt
          createTime: DateTime
        }"""
    assert _printed(types, loyalty.Reward, "Reward") == dedent(expected)


def test_maps_lists_messages_enums_and_json_have_their_counterparts() -> None:
    types = ProtoTypes()

    @types.object(money_pb2.Money, "currency")
    class Money: ...

    @types.object(item_pb.Item, "categories", "price", "attributes", "out_of_stock")
    class Product: ...

    @types.object(profiles.RecordedEvent, "type", "properties_json")
    class Event: ...

    @types.object(recommendation.Model, "train_duration", "dimensions")
    class Model: ...

    assert _printed(types, item_pb.Item, "Product") == dedent("""\
        type Product {
          categories: [String!]!
          price: Money
          attributes: [StringEntry!]!
          outOfStock: Boolean!
        }""")
    assert _printed(types, profiles.RecordedEvent, "Event") == dedent("""\
        type Event {
          type: EventType
          properties: JSON
        }""")
    assert _printed(types, recommendation.Model, "Model") == dedent("""\
        type Model {
          trainDuration: Duration
          dimensions: Int!
        }""")


def test_an_enum_loses_its_prefix_and_the_unspecified_value() -> None:
    types = ProtoTypes()

    @types.object(job_pb2.Job, "state")
    class Job: ...

    assert _printed(types, job_pb2.Job, "JobState") == dedent("""\
        enum JobState {
          PENDING
          RUNNING
          SUCCEEDED
          FAILED
          CANCELLED
        }""")


def test_an_input_needs_what_the_contract_requires_and_never_a_request_id() -> None:
    types, fields = ProtoTypes(), Fields(ProtoTypes())

    @types.input(loyalty.BurnPointsRequest, "request_id", "program_id", "points", "reason")
    class BurnPointsInput: ...

    fields = Fields(types)

    @fields.query(ANY_TOKEN)
    def burn(input: loyalty.BurnPointsRequest) -> str:
        return input.request_id

    built = build(types, fields)
    printed = sdl(built)
    body = printed[printed.index("input BurnPointsInput") :]
    assert "requestId: ID\n" in body
    assert "programId: ID!\n" in body
    assert "points: SafeInt\n" in body
    query = '{ a: burn(input: {programId: "p"}) b: burn(input: {programId: "p", requestId: "mine"}) }'
    result = graphql_sync(built._schema, query, context_value=Context())
    assert result.data is not None
    assert len(result.data["a"]) == 32
    assert result.data["b"] == "mine"


def test_a_oneof_is_a_oneof_input_however_deep() -> None:
    types = ProtoTypes()

    @types.input(rule_pb2.Rule, "all_of", "not", "bucket")
    class RuleInput: ...

    @types.input(rule_pb2.AllOf, "rules")
    class AllOfInput: ...

    @types.input(rule_pb2.BucketCondition, "salt", "from", "to")
    class BucketInput: ...

    fields = Fields(types)

    @fields.query(ANY_TOKEN)
    def told(rule: rule_pb2.Rule) -> str:
        return rule.SerializeToString(deterministic=True).hex()

    built = build(types, fields)
    assert "input RuleInput @oneOf {" in sdl(built)
    query = '{ told(rule: {allOf: {rules: [{not: {bucket: {salt: "a", from: 1, to: 2}}}, {allOf: {}}]}}) }'
    negated = ParseDict({"not": {"bucket": {"salt": "a", "from": 1, "to": 2}}}, rule_pb2.Rule())
    nested = [negated, rule_pb2.Rule(all_of=rule_pb2.AllOf())]
    expected = rule_pb2.Rule(all_of=rule_pb2.AllOf(rules=nested)).SerializeToString(deterministic=True).hex()
    result = graphql_sync(built._schema, query, context_value=Context())
    assert result.data == {"told": expected}
    two = '{ told(rule: {bucket: {salt: "a"}, not: {bucket: {salt: "b"}}}) }'
    assert graphql_sync(built._schema, two, context_value=Context()).errors


def test_values_are_read_from_the_message_itself() -> None:
    types = ProtoTypes()

    @types.object(money_pb2.Money, "currency", "amount_minor")
    class Money: ...

    @types.object(item_pb.Item, "item_id", "price", "attributes", "update_time")
    class Product: ...

    @types.object(list_pb.Reason, "kind")
    class Reason: ...

    fields = Fields(types)
    item = item_pb.Item(item_id="i1", attributes={"b": "2", "a": "1"})
    item.update_time.FromJsonString("2026-05-01T12:00:00.5Z")

    @fields.query(ANY_TOKEN)
    def product() -> item_pb.Item:
        return item

    @fields.query(ANY_TOKEN)
    def reasons() -> list[list_pb.Reason]:
        known, unspecified = list_pb.Reason(kind=list_pb.REASON_KIND_NEW), list_pb.Reason()
        from_the_future = list_pb.Reason()
        from_the_future.kind = 99  # type: ignore[assignment]  # a newer service may say so
        return [known, unspecified, from_the_future]

    query = "{ product { itemId price { currency } attributes { key value } updateTime } reasons { kind } }"
    result = graphql_sync(build(types, fields)._schema, query, context_value=Context())
    assert result.errors is None
    assert result.data == {
        "product": {
            "itemId": "i1",
            "price": None,
            "attributes": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}],
            "updateTime": "2026-05-01T12:00:00.500000Z",
        },
        "reasons": [{"kind": "NEW"}, {"kind": None}, {"kind": None}],
    }


def test_descriptions_are_the_contracts_comments_with_names_as_in_graphql() -> None:
    types = ProtoTypes()

    @types.object(job_pb2.Job, "job_id", "message", "results")
    class Job: ...

    @types.object(loyalty.Entry, "previous_tier_id", "tier_changed")
    class Entry: ...

    fields = Fields(types)

    @fields.query(ANY_TOKEN)
    def job() -> job_pb2.Job:
        return job_pb2.Job()

    @fields.query(ANY_TOKEN)
    def entry() -> loyalty.Entry:
        return loyalty.Entry()

    printed = sdl(build(types, fields))
    assert "One piece of background work." in printed
    assert "The step the job is at, in words; once it has failed, what went wrong and what to do." in printed
    assert "where `tierChanged`" in printed


def test_a_misspelt_field_fails_where_it_is_declared() -> None:
    with pytest.raises(UnknownField, match=r"tessera\.common\.v1\.Money has no field ammount_minor"):
        ProtoTypes().object(money_pb2.Money, "currency", "ammount_minor")
    with pytest.raises(UnknownField, match="curency"):
        ProtoTypes().input(money_pb2.Money, "curency")


def test_a_field_whose_type_is_not_exposed_fails_when_the_schema_is_built() -> None:
    types = ProtoTypes()

    @types.object(item_pb.Item, "item_id", "price")
    class Product: ...

    with pytest.raises(TypeError, match=r"tessera\.common\.v1\.Money is used by the schema but not exposed"):
        _printed(types, item_pb.Item, "Product")


def test_edges_arguments_enums_and_pages_follow_from_annotations() -> None:
    types = ProtoTypes()

    @types.object(money_pb2.Money, "currency")
    class Money: ...

    fields = Fields(types)

    @fields.edge(Money, ANY_TOKEN)
    def others(
        money: Parent[money_pb2.Money],
        measure: Annotated[series_pb2.Measure.ValueType, series_pb2.Measure] = series_pb2.MEASURE_UNITS,
        first: int = 3,
    ) -> Page[money_pb2.Money]:
        return Page([money_pb2.Money(currency=f"{money.currency}{int(measure)}")] * first, "", 0, "more")

    @fields.query(ANY_TOKEN)
    def money() -> money_pb2.Money:
        return money_pb2.Money(currency="EUR")

    built = build(types, fields)
    query = "{ money { others(measure: SALES, first: 2) { nodes { currency } pageInfo { hasNextPage } } } }"
    result = graphql_sync(built._schema, query, context_value=Context())
    assert result.errors is None
    assert result.data == {
        "money": {"others": {"nodes": [{"currency": "EUR1"}] * 2, "pageInfo": {"hasNextPage": True}}}
    }
    assert "others(measure: Measure! = UNITS, first: Int! = 3): MoneyConnection" in sdl(built)
