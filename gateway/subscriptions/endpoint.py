"""Accepts WebSocket connections for GraphQL, as many as are allowed."""

from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket

from gateway.auth import TENANT_HEADER
from gateway.backends import Backends
from gateway.context import Context
from gateway.execution import Execution
from gateway.subscriptions.protocol import SUBPROTOCOL, Close
from gateway.subscriptions.session import Session, SessionLimits
from services.common.auth import ALL_TENANTS, TenantMissing, TokenMissing, Verifier


class SubscriptionEndpoint:
    """``GET /graphql`` with an upgrade to WebSocket."""

    def __init__(
        self,
        execution: Execution,
        verifier: Verifier,
        backends: Backends,
        connections_max: int,
        limits: SessionLimits,
    ) -> None:
        self._execution, self._verifier, self._backends = execution, verifier, backends
        self._connections_max, self._limits = connections_max, limits
        self._connections = 0

    async def graphql(self, socket: WebSocket) -> None:
        """One connection, until it ends."""
        if SUBPROTOCOL not in socket.scope["subprotocols"]:
            await socket.accept()  # a refusal before this would have no code that a client can read
            await socket.close(int(Close.SUBPROTOCOL_NOT_ACCEPTABLE), f"only {SUBPROTOCOL} is spoken here")
            return
        await socket.accept(SUBPROTOCOL)
        self._connections += 1
        try:
            if self._connections > self._connections_max:
                await socket.close(int(Close.TRY_AGAIN_LATER), f"{self._connections_max} connections are open")
                return
            await Session(socket, self._execution, self._admit, self._limits).run()
        finally:
            self._connections -= 1

    async def _admit(self, payload: dict[str, Any]) -> Callable[[], Context]:
        """As for HTTP, from the payload; names are compared as those of headers are, without regard to case."""
        given = {name.lower(): value for name, value in payload.items()}
        authorization, tenant = given.get("authorization", ""), given.get(TENANT_HEADER, "")
        if not isinstance(authorization, str) or not isinstance(tenant, str):
            raise TokenMissing(f"`authorization` and `{TENANT_HEADER}` must be text")
        principal = (await self._verifier.verify(authorization)).acting_for(tenant)
        if principal.tenant == ALL_TENANTS:
            raise TenantMissing(f"a platform token must name a tenant: `{TENANT_HEADER}`")
        metadata = [("authorization", authorization)]
        if tenant:
            metadata.append((TENANT_HEADER, tenant))
        return lambda: Context(self._backends, principal, tuple(metadata))
