"""The bare servers that ours are compared with: ``python -m benchmarks.peers grpc|graphql PORT``."""

import asyncio
import sys
from typing import Any

import grpc
import strawberry
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from tessera.profiles.v1 import profiles_service_pb2 as pb

ECHO = "/bench.Echo/Echo"


async def serve_grpc(port: int) -> None:
    """An echo of bytes: the least that a rpc can do in ``grpc.aio``."""

    async def echo(request: bytes, context: object) -> bytes:
        return request

    handler = grpc.method_handlers_generic_handler("bench.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(echo)})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


@strawberry.type
class Money:
    currency: str
    amount_minor: int


@strawberry.type
class Lifetime:
    order_count: int
    spend: list[Money]


@strawberry.type
class Identifier:
    type: str
    value: str


@strawberry.type
class Customer:
    id: strawberry.ID
    identifiers: list[Identifier]
    lifetime: Lifetime


@strawberry.type
class Query:
    @strawberry.field
    async def customer(self, customer_id: str) -> Customer:
        return Customer(
            id=strawberry.ID(customer_id),
            identifiers=[Identifier(type="user_id", value="7")],
            lifetime=Lifetime(order_count=3, spend=[Money(currency="USD", amount_minor=1234)]),
        )


def serve_graphql(port: int) -> None:
    """A resolver that answers from memory, in the shape of our customer: the least that
    Strawberry can do, with its caches of parsed and validated documents."""
    endpoint: Any = GraphQL(strawberry.Schema(Query, extensions=[ParserCache, ValidationCache]))
    app = Starlette(routes=[Route("/graphql", endpoint)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, loop="uvloop")


def customer_bytes() -> bytes:
    """A message of the size of a customer, for the echo."""
    customer = pb.Customer(customer_id="c" * 32, identifiers=[pb.Identifier(type="user_id", value="7")])
    return customer.SerializeToString()


if __name__ == "__main__":
    kind, number = sys.argv[1], int(sys.argv[2])
    if kind == "grpc":
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        asyncio.run(serve_grpc(number))
    else:
        serve_graphql(number)
