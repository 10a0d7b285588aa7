"""What our server and our gateway cost beside bare ones: calls a second, and latency, in one run on one machine.

Each server is a process of its own; this one is the load. A ratio of 0.5 means: half the calls of the bare server.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import orjson
import uvloop
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from benchmarks.harness import Load, Result, closed_loop, report
from benchmarks.peers import ECHO, customer_bytes
from deploy.local import tokens

CLIENTS = 32
SECONDS = 5.0
QUERY = """query($id: %s!) {
  customer(%s: $id) { id identifiers { type value } lifetime { orderCount spend { currency amountMinor } } }
}"""


class HttpClient:
    """One kept connection that posts and reads: a load generator lighter than the servers that it measures."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._port = port
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def post(self, body: bytes) -> bytes:
        """The answer's body."""
        head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{self._head}"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return await self._reader.readexactly(length)


async def grpc_load(call: object) -> Load:
    """The load of a gRPC call."""
    return await closed_loop(call, clients=CLIENTS, seconds=SECONDS)  # type: ignore[arg-type]


async def http_load(port: int, headers: dict[str, str], body: bytes) -> Load:
    """The load of a GraphQL request over kept connections."""
    idle: asyncio.Queue[HttpClient] = asyncio.Queue()
    for _ in range(CLIENTS):
        client = HttpClient(port, headers)
        await client.open()
        idle.put_nowait(client)

    async def call() -> None:
        client = await idle.get()
        answer = orjson.loads(await client.post(body))
        assert answer["data"]["customer"]["id"], answer
        idle.put_nowait(client)

    return await closed_loop(call, clients=CLIENTS, seconds=SECONDS)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(*command: str, **environment: str) -> Iterator[None]:
    """A server in a process of its own, until the block is left."""
    running = subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **environment})
    try:
        yield
    finally:
        running.terminate()
        running.wait()


async def reachable(port: int) -> None:
    """Wait until something listens on ``port``."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def one_customer(port: int, token: str) -> AsyncIterator[tuple[ProfilesServiceStub, str, tuple[tuple[str, str]]]]:
    """A stub of profiles with a customer in it, the customer's id and the metadata of calls."""
    metadata = (("authorization", f"Bearer {token}"),)
    properties = '{"order_id":"1","currency":"USD","products":[],"total":12.34}'
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = ProfilesServiceStub(channel)
        order = pb.Event(
            message_id=uuid.uuid4().hex, type=pb.EVENT_TYPE_TRACK, name="Order Completed", user_id="7",
            properties_json=properties,
        )  # fmt: skip
        await stub.IngestEvents(pb.IngestEventsRequest(events=[order]), metadata=metadata, wait_for_ready=True)
        known = pb.GetCustomerRequest(identifier=pb.Identifier(type="user_id", value="7"))
        customer = (await stub.GetCustomer(known, metadata=metadata)).customer
        yield stub, customer.customer_id, metadata


async def measure() -> list[Result]:
    """Start the four servers, one pair after the other, and measure each."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        environment = {
            "AUTH_PUBLIC_KEY_FILE": str(tokens.ensure_key(folder)),
            "TESSERA_DATA_DIR": scratch,
            "LOG_LEVEL": "ERROR",
        }
        token = tokens.mint(folder, tenant="bench")
        echo, bare, ours, gateway = (free_port() for _ in range(4))
        environment |= {"PROFILES_PORT": str(ours), "PROFILES_ADDR": f"127.0.0.1:{ours}", "GATEWAY_PORT": str(gateway)}
        with process("services", "profiles", **environment):
            async with one_customer(ours, token) as (stub, customer_id, metadata):
                with process("benchmarks.peers", "grpc", str(echo)):
                    await reachable(echo)
                    bare_rpc = await echo_load(echo)
                    our_rpc = await grpc_load(
                        lambda: stub.GetCustomer(pb.GetCustomerRequest(customer_id=customer_id), metadata=metadata)
                    )
                with process("benchmarks.peers", "graphql", str(bare)), process("gateway", **environment):
                    await asyncio.gather(reachable(bare), reachable(gateway))
                    bare_http = await http_load(bare, {}, body("String", "customerId", customer_id))
                    header = {"Authorization": f"Bearer {token}"}
                    our_http = await http_load(gateway, header, body("ID", "id", customer_id))
    return [*compared("GetCustomer by gRPC", our_rpc, bare_rpc, "bare grpc.aio echo"),
            *compared("customer by GraphQL", our_http, bare_http, "bare Strawberry resolver")]  # fmt: skip


async def echo_load(port: int) -> Load:
    """The load of the echo."""
    payload = customer_bytes()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
        return await grpc_load(lambda: call(payload))


def body(type: str, argument: str, customer_id: str) -> bytes:
    """The request for one customer."""
    return orjson.dumps({"query": QUERY % (type, argument), "variables": {"id": customer_id}})


def compared(name: str, ours: Load, peer: Load, peer_name: str) -> list[Result]:
    """Rate and latencies of one pair."""
    return [
        Result(f"{name}: rate", ours.rate, "calls/s", peer.rate, peer_name),
        Result(f"{name}: p50", ours.p50, "ms", peer.p50, peer_name),
        Result(f"{name}: p99", ours.p99, "ms", peer.p99, peer_name),
    ]


if __name__ == "__main__":
    report(f"serving, {CLIENTS} clients, {SECONDS:g} s each", uvloop.run(measure()))
