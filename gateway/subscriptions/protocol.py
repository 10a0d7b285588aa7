"""The messages of `graphql-transport-ws` (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md)."""

from enum import IntEnum
from typing import Any, TypeAlias

import msgspec

SUBPROTOCOL = "graphql-transport-ws"


class Close(IntEnum):
    """Why a connection is closed: the codes of the protocol, and two of WebSocket itself."""

    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    INITIALISATION_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY_INITIALISATIONS = 4429
    TRY_AGAIN_LATER = 1013


class ConnectionInit(msgspec.Struct, tag="connection_init"):
    """Who is calling: the payload has what HTTP has in headers, `authorization` and perhaps `tessera-tenant`."""

    payload: dict[str, Any] | None = None


class Ping(msgspec.Struct, tag="ping"):
    """Are you there?"""

    payload: dict[str, Any] | None = None


class Pong(msgspec.Struct, tag="pong"):
    """Yes; also without having been asked."""

    payload: dict[str, Any] | None = None


class Operation(msgspec.Struct):
    """A GraphQL request."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = msgspec.field(default=None, name="operationName")
    extensions: dict[str, Any] | None = None


class Subscribe(msgspec.Struct, tag="subscribe"):
    """Execute an operation; its answers carry the id."""

    id: str
    payload: Operation


class Complete(msgspec.Struct, tag="complete"):
    """End an operation; the other side does the same."""

    id: str


Received: TypeAlias = ConnectionInit | Ping | Pong | Subscribe | Complete
_decoder = msgspec.json.Decoder(Received)


def decode(text: str | bytes) -> Received:
    """One message from a client; ``msgspec.DecodeError`` says what is wrong with it."""
    message: Received = _decoder.decode(text)
    return message
