"""Who sends a request: the bearer token, verified here and passed on as it is."""

from starlette.requests import Request

from gateway.backends import Backends
from gateway.context import Context
from services.common.auth import Verifier

TENANT_HEADER = "tessera-tenant"


async def authenticated(request: Request, verifier: Verifier, backends: Backends) -> Context:
    """The context of a request with a valid token; raises one of the ``Unauthenticated`` or ``PermissionDenied``.

    A platform token says in the header ``tessera-tenant`` for which tenant it asks.
    """
    authorization = request.headers.get("authorization")
    tenant = request.headers.get(TENANT_HEADER, "")
    principal = (await verifier.verify(authorization)).acting_for(tenant)
    metadata = [("authorization", authorization or "")]
    if tenant:
        metadata.append((TENANT_HEADER, tenant))
    return Context(backends, principal, tuple(metadata))


def anonymous(backends: Backends) -> Context:
    """The context of a request without a token, which every root field refuses."""
    return Context(backends, None, ())
