"""``/v1/unsubscribe/{token}``: who got a mail leaves the list.

A POST does it (RFC 8058). A GET asks first, because mail servers follow links to look at what is behind them.
"""

import html
import logging

import grpc
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from tessera.crm.v1 import unsubscribe_pb2 as pb

from gateway.backends import Backends
from services.common import telemetry

log = logging.getLogger(__name__)

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>Unsubscribe</title><p>{text}</p>{form}</html>"""
_FORM = """<form method="post" action="{action}"><input type="hidden" name="List-Unsubscribe" value="One-Click">
<button>Unsubscribe</button></form>"""
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
}
_FAILED = {
    grpc.StatusCode.NOT_FOUND: (404, "This link is not known. Write to the sender of the mail instead."),
    grpc.StatusCode.INVALID_ARGUMENT: (404, "This link is not known. Write to the sender of the mail instead."),
}


class UnsubscribeEndpoint:
    """Needs no token: the link is what shows that somebody got the mail. The gateway asks crm with its own."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def routes(self) -> list[Route]:
        """Where it is found."""
        return [
            Route("/v1/unsubscribe/{token}", self.ask, methods=["GET"]),
            Route("/v1/unsubscribe/{token}", self.leave, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """A page with a button."""
        form = _FORM.format(action=html.escape(request.url.path, quote=True))
        return _page(200, "Do you want no more of these mails?", form)

    async def leave(self, request: Request) -> Response:
        """Done, once crm has it on disk. The body says nothing that the link does not, and is not read."""
        with telemetry.server_span("unsubscribe", request.headers.get("traceparent")):
            try:
                await self._backends.crm.Unsubscribe(pb.UnsubscribeRequest(token=request.path_params["token"]))
            except grpc.aio.AioRpcError as error:
                if error.code() not in _FAILED:
                    log.warning("somebody could not be unsubscribed: %s %s", error.code().name, error.details())
                return _page(*_FAILED.get(error.code(), (503, "That did not work for the moment. Try again soon.")))
        return _page(200, "Done: you will get no more of these mails.")


def _page(status: int, text: str, form: str = "") -> Response:
    return HTMLResponse(_PAGE.format(text=text, form=form), status, headers=_HEADERS)
