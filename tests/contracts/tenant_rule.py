"""The ways in which an rpc can keep tenants apart."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from tests.tenant import Tenant

ACME, RIVAL, STRANGER, NEWCOMER = "acme", "rival", "stranger", "newcomer"
Request = Callable[[Tenant], Message]
MISSING = grpc.StatusCode.NOT_FOUND


@dataclass(frozen=True)
class Refused:
    """A request that names acme's object is refused to rival, as if the object did not exist.

    Rival has objects of its own; a request that works on all that one has is sent by ``who`` has none.
    """

    request: Request
    reason: str
    code: grpc.StatusCode = MISSING
    who: str = RIVAL


@dataclass(frozen=True)
class Without:
    """The answer holds something of acme for acme, and nothing of acme for rival.

    ``shows`` tells whether something of acme is there, where the names of its objects do not.
    """

    request: Request
    shows: Callable[[Any], object] | None = None


@dataclass(frozen=True)
class Figure:
    """A figure over all that a tenant has: not zero for acme, zero for a tenant that has nothing."""

    request: Request
    figure: Callable[[Any], float]


@dataclass(frozen=True)
class Feed:
    """A stream: rival's begins with what is rival's and holds nothing else."""

    request: Message
    changes: Callable[[Any], Any]


@dataclass(frozen=True)
class Stream:
    """A stream with an end: of acme's object it holds something for acme, and nothing for rival."""

    request: Request


@dataclass(frozen=True)
class Beside:
    """A request that makes an object of one's own, even with the names and the ``request_id`` that acme chose.

    ``look`` is what acme sees of its own: the same before and after.
    """

    request: Request
    look: tuple[str, Request]


Rule = Refused | Without | Figure | Feed | Stream | Beside
