"""The schema of the platform as a whole."""

from pathlib import Path

from graphql import GraphQLNonNull, GraphQLObjectType, validate_schema

import gateway
from gateway.schema.build import root_fields, schema, sdl
from gateway.schema.fields import GuardedField

BUILT = schema()
COMMITTED = Path(gateway.__file__).parent / "schema.graphql"


def test_what_is_committed_is_the_schema() -> None:
    assert COMMITTED.read_text() == sdl(BUILT), "run `python -m gateway.schema`"


def test_the_schema_is_valid_and_every_field_of_it_is_described() -> None:
    assert validate_schema(BUILT._schema) == []
    bare = [
        f"{kind.name}.{name}"
        for kind in BUILT._schema.type_map.values()
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__")
        for name, field in kind.fields.items()
        if not field.description
    ]
    assert bare == []


def test_one_service_that_is_down_can_cost_one_field_only() -> None:
    """Every root field and every edge is nullable."""
    stubborn = [
        f"{kind.name}.{name}"
        for kind in BUILT._schema.type_map.values()
        if isinstance(kind, GraphQLObjectType)
        for name, field in kind.fields.items()
        if isinstance(field.extensions.get("strawberry-definition"), GuardedField)
        and isinstance(field.type, GraphQLNonNull)
    ]
    assert stubborn == []


def test_every_root_field_declares_who_may_ask() -> None:
    open_to_any_token = [name for _, name, field in root_fields(BUILT) if not field.access.scope]
    assert open_to_any_token == ["node", "jobProgress"]  # what is asked for decides, and its service


def test_internal_fields_stay_inside() -> None:
    """Cursors of feeds and tenants are the platform's own business."""
    committed = COMMITTED.read_text()
    for word in ("tenantId", "appliedCursor", "endCursor: String!", "pageToken", "customerIds"):
        assert word not in committed
