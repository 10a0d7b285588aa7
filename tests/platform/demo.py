"""The platform that ``make run`` has filled with the sample retailer, and a client of it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.platform.make_run import LOAD_SECONDS_MAX, NAMES, SERVING, Run, free_ports

SERVICES = NAMES[:6]
PAGE = 1000


class Demo:
    """One data folder, and the ``make run`` on it: started when first needed, and again after a test stopped it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_ports()
        self.first: str = ""
        """What the first start said, which loaded the data."""
        self.run: Run | None = None
        self._broken = ""

    def start(self, **how: Any) -> Run:
        """A start of the command; there must be none that runs."""
        assert self.run is None or self.run.process.poll() is not None
        assert not self._broken, self._broken
        self.stop()
        self.run = Run(self.folder, self.ports, **how)
        self._broken = "`make run` could not start in an earlier test, which says why"
        said = self.run.wait_for(SERVING, LOAD_SECONDS_MAX)
        self._broken = ""
        self.first = self.first or said
        return self.run

    def stop(self) -> None:
        """End what runs."""
        if self.run:
            self.run.close()

    @contextmanager
    def serving(self) -> Iterator["Client"]:
        """A client of the platform, which is started unless it serves."""
        if self.run is None or self.run.process.poll() is not None:
            self.start()
        assert self.run
        with Client(self.ports, token(self.run.said)) as client:
            yield client


class Client:
    """What a user's program would be: gRPC to the services, GraphQL to the gateway, with the token that was printed."""

    def __init__(self, ports: dict[str, int], token: str) -> None:
        self._token = token
        self._channels = {name: grpc.insecure_channel(f"127.0.0.1:{ports[name]}") for name in SERVICES}
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{ports['gateway']}", headers=headers, timeout=60)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *ended: object) -> None:
        self._http.close()
        for channel in self._channels.values():
            channel.close()

    def call(self, service: str, rpc: str, **fields: Any) -> Any:
        """The answer of an rpc."""
        return self._method(service, rpc)(self._request(service, rpc, fields), metadata=self._metadata, timeout=60)

    def pages(self, service: str, rpc: str, list_: str, *, page_size: int = PAGE, **fields: Any) -> Iterator[Any]:
        """Every element of a list, page after page."""
        token = ""
        while True:
            answer = self.call(service, rpc, page_size=page_size, page_token=token, **fields)
            yield from getattr(answer, list_)
            if not (token := answer.next_page_token):
                return

    def stream(self, service: str, rpc: str, **fields: Any) -> Iterator[Any]:
        """The answers of a stream until it has caught up."""
        answers = self._method(service, rpc)(self._request(service, rpc, fields), metadata=self._metadata, timeout=60)
        for answer in answers:
            yield answer
            if answer.caught_up:
                answers.cancel()
                return

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of a GraphQL answer without errors."""
        answer = self._http.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    @cached_property
    def customers(self) -> dict[int, profiles.Customer]:
        """Every customer, by the household's number in the raw tables."""
        listed = list(self.pages("profiles", "ListCustomers", "customers"))
        known = {_user_id(customer): customer for customer in listed}
        assert len(known) == len(listed)
        return known

    @cached_property
    def households(self) -> dict[str, int]:
        """The household of every customer."""
        return {customer.customer_id: household for household, customer in self.customers.items()}

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._token}"),)

    def _method(self, service: str, rpc: str) -> Any:
        module = import_module(f"tessera.{service}.v1.{service}_service_pb2_grpc")
        return getattr(getattr(module, f"{service.capitalize()}ServiceStub")(self._channels[service]), rpc)

    def _request(self, service: str, rpc: str, fields: dict[str, Any]) -> Any:
        return getattr(import_module(f"tessera.{service}.v1.{service}_service_pb2"), f"{rpc}Request")(**fields)


def token(said: str) -> str:
    """The token that ``make run`` has printed."""
    (found,) = re.findall(r"^token of tenant demo .*:\s+(\S+)$", said, re.MULTILINE)
    return str(found)


def instant(second: float) -> Timestamp:
    """A moment, for a request."""
    return Timestamp(seconds=int(second), nanos=round(second % 1 * 1_000_000) * 1000)


def seconds(moment: Timestamp) -> float:
    """A moment of an answer, to the microsecond."""
    return moment.seconds + moment.nanos / 1e9


def _user_id(customer: profiles.Customer) -> int:
    (user_id,) = (identifier.value for identifier in customer.identifiers if identifier.type == "user_id")
    return int(user_id)
