"""The type of the context that every rpc receives."""

from typing import Any

import grpc

Context = grpc.aio.ServicerContext[Any, Any]
