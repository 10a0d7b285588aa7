"""Who may ask for what, by enumeration: a root field that is not refused as it should be fails here."""

from typing import Any

import jwt
import pytest
import strawberry
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    get_named_type,
    is_leaf_type,
)
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from gateway.schema import node as nodes
from gateway.schema.access import UnknownRpc, by_rpc
from gateway.schema.build import AccessUndeclared, build, root_fields, schema
from gateway.schema.fields import Fields
from gateway.schema.from_proto import ProtoTypes
from gateway.schema.global_ids import encode
from services.common.errors import NotFound
from tests.conftest import Keyring
from tests.gateway.platform import SERVICES, Backend, Client

BUILT = schema()
# Those of Subscription are asked over WebSocket: test_subscriptions enumerates them.
ROOT_FIELDS = {(root, name): field for root, name, field in root_fields(BUILT) if root != "Subscription"}
GUARDED = [key for key, field in ROOT_FIELDS.items() if field.access.scope]
_LEAVES = {
    "ID": '"x"',
    "String": '"x"',
    "Int": "1",
    "SafeInt": "1",
    "Float": "1",
    "Boolean": "true",
    "JSON": "{}",
    "DateTime": '"2026-01-01T00:00:00Z"',
}


def _literal(kind: Any) -> str:
    """Some valid value of an input type."""
    if isinstance(kind, GraphQLNonNull):
        return _literal(kind.of_type)
    if isinstance(kind, GraphQLList):
        return f"[{_literal(kind.of_type)}]"
    if isinstance(kind, GraphQLEnumType):
        return str(next(iter(kind.values)))
    if isinstance(kind, GraphQLInputObjectType):
        needed = {name: field for name, field in kind.fields.items() if isinstance(field.type, GraphQLNonNull)}
        one = "segment" if "segment" in kind.fields else next(iter(kind.fields))
        given = needed or ({one: kind.fields[one]} if kind.is_one_of else {})
        return "{" + ", ".join(f"{name}: {_literal(field.type)}" for name, field in given.items()) + "}"
    return _LEAVES[kind.name]


def _document(root: str, name: str) -> str:
    """A valid request for one root field."""
    kind = BUILT._schema.query_type if root == "Query" else BUILT._schema.mutation_type
    assert kind is not None
    field = kind.fields[name]
    given = [
        f"{key}: {_literal(each.type)}" for key, each in field.args.items() if isinstance(each.type, GraphQLNonNull)
    ]
    if name == "customer":
        given = ['userId: "x"']
    if name == "node":
        given = [f'id: "{encode("Customer", "x")}"']
    selected = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    return f"{root.lower()} {{ {name}{'(' + ', '.join(given) + ')' if given else ''}{selected} }}"


async def test_every_root_field_is_refused_without_its_scope_before_any_service_is_asked(
    client: Client, backend: Backend
) -> None:
    refused = {}
    for root, name in GUARDED:
        service = ROOT_FIELDS[root, name].access.scope.partition(":")[0]
        others = [f"{each}:admin" for each in SERVICES if each != service]
        error = await client.error(_document(root, name), scopes=others)
        refused[root, name] = (error["extensions"]["code"], error["extensions"].get("metadata"), error["path"])
    assert refused == {
        (root, name): ("SCOPE_MISSING", {"scope": ROOT_FIELDS[root, name].access.scope}, [name])
        for root, name in GUARDED
    }
    assert backend.calls == []


async def test_every_root_field_answers_with_its_scope_and_nothing_more(client: Client) -> None:
    for (root, name), field in ROOT_FIELDS.items():
        scopes = [field.access.scope] if field.access.scope else ["profiles:read"]
        answer = await client.ask(_document(root, name), scopes=scopes)
        codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
        # The stand-ins answer empty messages, of which some fields make null; none may be refused for its scope.
        assert "SCOPE_MISSING" not in codes, (name, answer)
        assert "INTERNAL_ERROR" not in codes, (name, answer)


async def test_without_a_valid_token_no_root_field_answers(client: Client, backend: Backend, keyring: Keyring) -> None:
    claims = jwt.decode(keyring.mint(), options={"verify_signature": False})
    stranger = jwt.encode(claims, Ed25519PrivateKey.generate(), "EdDSA")
    tokens = {
        "TOKEN_MISSING": "",
        "TOKEN_INVALID": f"Bearer {stranger}",
        "TOKEN_EXPIRED": f"Bearer {keyring.expired()}",
    }
    for root, name in ROOT_FIELDS:
        for reason, authorization in tokens.items():
            headers = {"authorization": authorization} if authorization else {}
            response = await client.http.post("/graphql", json={"query": _document(root, name)}, headers=headers)
            assert response.status_code == 401, name
            assert response.headers["www-authenticate"].startswith("Bearer")
            (error,) = response.json()["errors"]
            assert error["extensions"]["code"] == "UNAUTHENTICATED"
            assert error["extensions"]["metadata"] == {"reason": reason}
    assert backend.calls == []


async def test_services_are_asked_as_the_caller_and_another_tenants_object_is_null(
    client: Client, backend: Backend
) -> None:
    backend.on("profiles.GetCustomer", NotFound("no such customer"))
    for (root, name), field in ROOT_FIELDS.items():
        if field.access.scope:
            await client.ask(_document(root, name), tenant="globex")
    assert set(backend.tenants) == {"globex"}
    assert await client.data('{ customer(userId: "1") { customerId } }', tenant="globex") == {"customer": None}


async def test_a_tenants_token_cannot_act_for_another_tenant(client: Client, keyring: Keyring) -> None:
    headers = {"authorization": f"Bearer {keyring.mint()}", "tessera-tenant": "globex"}
    response = await client.http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    assert response.status_code == 403
    assert response.json()["errors"][0]["extensions"]["code"] == "TENANT_FORBIDDEN"


async def test_a_platform_token_names_the_tenant_in_a_header(
    client: Client, backend: Backend, keyring: Keyring
) -> None:
    headers = {"authorization": f"Bearer {keyring.mint(tenant='*')}", "tessera-tenant": "globex"}
    query = {"query": "{ profileStatistics { customerCount } }"}
    response = await client.http.post("/graphql", json=query, headers=headers)
    assert response.json()["data"] == {"profileStatistics": {"customerCount": 0}}
    assert backend.tenants == ["globex"]


async def test_a_node_needs_the_scope_of_its_own_type(client: Client, backend: Backend) -> None:
    query = "query ($id: ID!) { node(id: $id) { id } }"
    for name, scope in nodes.node_scopes().items():
        given = encode(name, "x", "y") if name == "Member" else encode(name, "x")
        error = await client.error(query, {"id": given}, scopes=["nothing:read"])
        assert error["extensions"]["code"] == "SCOPE_MISSING"
        assert backend.calls == []
        assert await client.data(query, {"id": given}, scopes=[scope]) == {"node": None}
        backend.calls.clear()


async def test_an_edge_is_refused_without_its_scope_and_the_rest_is_answered(client: Client, backend: Backend) -> None:
    backend.on(
        "profiles.GetCustomer", lambda _: profiles.GetCustomerResponse(customer=profiles.Customer(customer_id="c1"))
    )
    query = '{ customer(userId: "1") { customerId loyalty { balancePoints } } }'
    answer = await client.ask(query, scopes=["profiles:read"])
    assert answer["data"] == {"customer": {"customerId": "c1", "loyalty": None}}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["SCOPE_MISSING"]
    assert backend.names() == ["profiles.GetCustomer"]


def test_a_rule_of_an_rpc_that_does_not_exist_fails_at_import() -> None:
    with pytest.raises(UnknownRpc, match=r"profiles\.GetCustomers"):
        by_rpc("profiles.GetCustomers")
    assert by_rpc("loyalty.CreateProgram").scope == "loyalty:admin"


def test_a_field_without_a_rule_fails_when_the_schema_is_built() -> None:
    types = ProtoTypes()
    fields = Fields(types)

    @strawberry.type
    class Loose:
        @strawberry.field
        def answer(self) -> int:
            return 42

    @fields.query(by_rpc("profiles.GetCustomer"))
    def loose() -> Loose:
        return Loose()

    with pytest.raises(AccessUndeclared, match=r"Loose\.answer"):
        build(types, fields)
