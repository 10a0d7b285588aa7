"""Refusals on the wire: a gRPC status with a ``google.rpc.ErrorInfo``, written by servers and read by clients."""

from typing import NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common import errors

_CODES: tuple[tuple[type[errors.Refusal], grpc.StatusCode], ...] = (
    (errors.InvalidArgument, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionDenied, grpc.StatusCode.PERMISSION_DENIED),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (errors.FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Conflict, grpc.StatusCode.ABORTED),
    (errors.ResourceExhausted, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.DataLoss, grpc.StatusCode.DATA_LOSS),
)
MESSAGE_LENGTH_MAX = 2000


class DeadlineExceeded(errors.Refusal):
    """The call took longer than the server allows."""


def status_code(refusal: errors.Refusal) -> grpc.StatusCode:
    """The code that callers see for this kind of refusal."""
    if isinstance(refusal, DeadlineExceeded):
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return next((code for kind, code in _CODES if isinstance(refusal, kind)), grpc.StatusCode.INTERNAL)


async def abort(context: grpc.aio.ServicerContext[object, object], refusal: errors.Refusal, service: str) -> NoReturn:
    """End the call with the refusal's code, message and ``ErrorInfo`` (domain ``<service>.tessera``)."""
    code = status_code(refusal)
    info = error_details_pb2.ErrorInfo(reason=refusal.reason, domain=f"{service}.tessera", metadata=refusal.metadata)
    detail = any_pb2.Any()
    detail.Pack(info)
    message = refusal.message[:MESSAGE_LENGTH_MAX]
    status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, message, trailing)
    raise AssertionError("abort returned")


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    """The ``ErrorInfo`` in a failed call, if its server sent one."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return None
    status = rpc_status.from_call(_Trailers(error))
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return info
    return None


class _Trailers:
    """What ``rpc_status`` asks of a call, answered from an error of ``grpc.aio``."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self._error = error

    def code(self) -> grpc.StatusCode:
        return self._error.code()

    def details(self) -> str:
        return self._error.details() or ""

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return tuple(self._error.trailing_metadata() or ())
