"""Errors as front ends see them: a stable code, the service, the metadata; and nothing of what is unexpected.

| what failed                                          | ``extensions.code``                                        |
|------------------------------------------------------|------------------------------------------------------------|
| no token, or one that is not valid                   | ``UNAUTHENTICATED``; HTTP 401, the reason in the metadata  |
| a service refused                                    | the reason of its ``ErrorInfo``: ``INSUFFICIENT_POINTS``   |
| the gateway refused                                  | the reason: ``SCOPE_MISSING``, ``COST_EXCEEDED``           |
| a service is not there, or too slow                  | ``UNAVAILABLE``, ``DEADLINE_EXCEEDED``                     |
| the document                                         | ``GRAPHQL_PARSE_FAILED``, ``GRAPHQL_VALIDATION_FAILED``    |
| a variable or an argument                            | ``BAD_USER_INPUT``                                         |
| anything else                                        | ``INTERNAL_ERROR``, with an id that is in the log          |
"""

import logging
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from graphql import GraphQLError, GraphQLSyntaxError

from gateway.schema.proto_fields import camel_case
from services.common.errors import InvalidArgument, Refusal, Unauthenticated
from services.common.grpc_errors import error_info, status_code

log = logging.getLogger(__name__)

Extensions = dict[str, Any]
ServiceOf = Callable[[str], str]

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_INPUT = "BAD_USER_INPUT"
INTERNAL = "INTERNAL_ERROR"

# Statuses that say by themselves what happened, when no service answered with a reason.
_PLAIN = {
    grpc.StatusCode.UNAVAILABLE: "is not reachable for the moment; try again",
    grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time; try again",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "has too much to do; try again later",
    grpc.StatusCode.CANCELLED: "was asked to stop",
}
_PATHS = frozenset({"field", "path", "node"})


def formatted(error: GraphQLError, service_of: ServiceOf) -> dict[str, Any]:
    """One error of an answer. ``service_of`` tells the service behind a field, where the error does not."""
    message, extensions = _described(error, service_of)
    shown: dict[str, Any] = {"message": message, "extensions": extensions}
    if error.locations:
        shown["locations"] = [location.formatted for location in error.locations]
    if error.path:
        shown["path"] = error.path
    return shown


def refused(refusal: Refusal) -> dict[str, Any]:
    """The error of a request that the gateway refuses as a whole."""
    return {"message": refusal.message, "extensions": _of_refusal(refusal)}


def _described(error: GraphQLError, service_of: ServiceOf) -> tuple[str, Extensions]:
    cause = error.original_error
    if isinstance(cause, Refusal):
        return cause.message, _of_refusal(cause)
    if isinstance(cause, grpc.aio.AioRpcError):
        return _of_call(cause, _service_behind(error, service_of))
    if isinstance(error, GraphQLSyntaxError):
        return error.message, {"code": PARSE_FAILED}
    if cause is None or isinstance(cause, GraphQLError):
        return error.message, {"code": BAD_INPUT, **(error.extensions or {})}
    return _hidden(cause)


def _of_refusal(refusal: Refusal) -> Extensions:
    status = status_code(refusal).name
    if isinstance(refusal, Unauthenticated):
        return {"code": "UNAUTHENTICATED", "status": status, "metadata": {"reason": refusal.reason}}
    return _extensions(refusal.reason, status, refusal.metadata)


def _of_call(error: grpc.aio.AioRpcError, behind: str) -> tuple[str, Extensions]:
    info = error_info(error)
    if info is not None:
        service = info.domain.removesuffix(".tessera")
        extensions = _extensions(info.reason, error.code().name, dict(info.metadata), service)
        return error.details() or info.reason, extensions
    if error.code() not in _PLAIN:
        return _hidden(error)
    sentence = f"{behind or 'a service'} {_PLAIN[error.code()]}"
    return sentence, _extensions(error.code().name, error.code().name, {}, behind)


def _extensions(code: str, status: str, metadata: Mapping[str, str], service: str = "") -> Extensions:
    extensions: Extensions = {"code": code, "status": status}
    if service:
        extensions["service"] = service
    if metadata:
        extensions["metadata"] = {key: _in_graphql(key, value) for key, value in metadata.items()}
    return extensions


def _in_graphql(key: str, value: str) -> str:
    """Paths into a message name its fields as the schema does."""
    return re.sub(r"[a-z][a-z0-9_]*", lambda match: camel_case(match[0]), value) if key in _PATHS else value


def _service_behind(error: GraphQLError, service_of: ServiceOf) -> str:
    return service_of(error.nodes[-1].name.value) if error.nodes else ""  # type: ignore[attr-defined]


def _hidden(cause: BaseException) -> tuple[str, Extensions]:
    error_id = uuid.uuid4().hex
    log.error("a field failed, error %s", error_id, exc_info=cause)
    return f"internal error {error_id}", {"code": INTERNAL, "status": "INTERNAL", "metadata": {"error_id": error_id}}


class RequestInvalid(InvalidArgument):
    """The HTTP request is not a GraphQL request."""
