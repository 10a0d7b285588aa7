"""The schema itself, built once from what the modules of this package declare."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from functools import cache
from importlib import import_module
from inspect import isawaitable
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLInputObjectType, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from gateway.schema.fields import Fields, GuardedField
from gateway.schema.from_proto import ProtoTypes
from gateway.schema.proto_fields import ReadField, define
from gateway.schema.registry import FIELDS, TYPES
from gateway.schema.scalars import SCALARS
from services.common.auth import TokenMissing

MODULES = (
    "node",
    "common",
    "profiles",
    "merges",
    "identity",
    "groups",
    "dead_letters",
    "write_keys",
    "event_schemas",
    "computed_traits",
    "predictive_traits",
    "privacy",
    "customer_exports",
    "suppressions",
    "table_imports",
    "segmentation",
    "job_progress",
    "saved_segments",
    "segment_copies",
    "segment_changes",
    "rule_texts",
    "customer_lists",
    "destinations",
    "insights",
    "paths",
    "personas",
    "recommendation",
    "next_items",
    "compositions",
    "training_settings",
    "drift_settings",
    "bought_together",
    "scenarios",
    "shop_demand",
    "placements",
    "recommendation_feedback",
    "policy_estimates",
    "forecasting",
    "customer_value",
    "propensities",
    "category_preferences",
    "uplifts",
    "elasticity",
    "media_mix",
    "drivers",
    "demand",
    "loyalty",
    "loyalty_changes",
    "carts",
    "coupons",
    "loyalty_earning",
    "offers",
    "pricing",
    "redemptions",
    "referrals",
    "lots",
    "transfers",
    "loyalty_reports",
    "achievements",
    "loyalty_notices",
    "shared_accounts",
    "wallets",
    "leaderboards",
    "wheels",
    "crm",
)

_BACKREF = GraphQLCoreConverter.DEFINITION_BACKREF


class AccessUndeclared(TypeError):
    """A root field or an edge does not say who may ask for it."""


@cache
def schema() -> strawberry.Schema:
    """The schema of the platform."""
    for name in MODULES:
        import_module(f"gateway.schema.{name}")
    return build(TYPES, FIELDS)


def build(types: ProtoTypes, fields: Fields) -> strawberry.Schema:
    """The schema of everything that was declared with ``types`` and ``fields``."""
    for owner in fields.owners():
        for field in fields.of(owner):
            types.add(owner, field)
    changes, feeds = fields.of("Mutation"), fields.of("Subscription")
    built = strawberry.Schema(
        query=_root("Query", "Everything that can be asked.", fields.of("Query")),
        mutation=_root("Mutation", "Everything that can be changed.", changes) if changes else None,
        subscription=_root("Subscription", "Everything that can be followed live.", feeds) if feeds else None,
        config=StrawberryConfig(scalar_map=SCALARS, sort_schema=False),
    )
    _finish(built._schema)
    return built


def sdl(built: strawberry.Schema) -> str:
    """The schema in the schema definition language."""
    return f"{print_schema(built).rstrip()}\n"


def _root(name: str, description: str, fields: list[StrawberryField]) -> type:
    return define(type(name, (), {}), fields, description)


def _finish(schema: GraphQLSchema) -> None:
    """Put the plain attribute access, and the guard, where graphql-core calls: nothing stands in between."""
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLInputObjectType):
            kind.is_one_of = kind.extensions[_BACKREF].is_one_of  # so that documents are validated, and tools see it
        if not isinstance(kind, GraphQLObjectType) or kind.name.startswith("__"):
            continue
        kind.is_type_of = None  # interfaces say by themselves which type an object is
        for name, field in kind.fields.items():
            if field.subscribe is not None:
                field.subscribe = _source(field.extensions[_BACKREF].access.scope, field.subscribe)
                field.resolve = _event
            else:
                field.resolve = _resolver(f"{kind.name}.{name}", field)


def _resolver(path: str, field: GraphQLField) -> Callable[..., Any]:
    definition = field.extensions[_BACKREF]
    if isinstance(definition, ReadField):
        return _reading(definition.read)
    if isinstance(definition, GuardedField) and field.resolve is not None:
        return _guarded(definition.access.scope, field.resolve, forget=path.startswith("Mutation."))
    raise AccessUndeclared(f"{path} is neither read from a message nor declared with who may ask for it")


def _source(scope: str, subscribe: Callable[..., Any]) -> Callable[..., Any]:
    """The events of a subscription; what was loaded for one event is forgotten before the next."""

    async def source(root: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> AsyncGenerator[Any, None]:
        _admit(info, scope)
        events = subscribe(root, info, **arguments)
        return _fresh(await events if isawaitable(events) else events, info)

    return source


async def _fresh(events: AsyncGenerator[Any, None], info: GraphQLResolveInfo[Any]) -> AsyncGenerator[Any, None]:
    async with aclosing(events):
        async for event in events:
            info.context.forget()
            yield event


def _event(event: Any, _info: GraphQLResolveInfo[Any], **_arguments: Any) -> Any:
    return event


def _reading(read: Callable[[Any], Any]) -> Callable[[Any, GraphQLResolveInfo[Any]], Any]:
    return lambda source, _info: read(source)


def _guarded(scope: str, resolve: Callable[..., Any], *, forget: bool) -> Callable[..., Any]:
    def guarded(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        _admit(info, scope)
        if forget:
            info.context.forget()
        return resolve(source, info, **arguments)

    return guarded


def _admit(info: GraphQLResolveInfo[Any], scope: str) -> None:
    principal = info.context.principal
    if principal is None:
        raise TokenMissing("this field needs a token")
    if scope:
        principal.require(scope)


def root_fields(built: strawberry.Schema) -> Iterable[tuple[str, str, GuardedField]]:
    """Every root field: the name of its type, its own, and its declaration."""
    schema = built._schema
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        for name, field in root.fields.items() if root else ():
            yield root.name if root else "", name, field.extensions[_BACKREF]


def service_of(built: strawberry.Schema) -> Callable[[str], str]:
    """Tells the service behind a field by its name, for errors that do not say; empty where it is not certain."""
    services: dict[str, set[str]] = {}
    for kind in built._schema.type_map.values():
        for name, field in kind.fields.items() if isinstance(kind, GraphQLObjectType) else ():
            definition = field.extensions.get(_BACKREF)
            if isinstance(definition, GuardedField) and definition.access.scope:
                services.setdefault(name, set()).add(definition.access.scope.partition(":")[0])
    certain = {name: next(iter(found)) for name, found in services.items() if len(found) == 1}
    return lambda name: certain.get(name, "")
