"""Channels to other services: the token, the trace, a deadline and retries with a budget, without interceptors.

The interceptors of ``grpc.aio`` cost a task and two wrappers a call; here the stub's own callables are wrapped once.
"""

import json
from collections.abc import Sequence
from typing import Any

import grpc

from services.common import telemetry
from services.common.auth import ServiceToken
from services.common.settings import ProcessSettings

DEADLINE_SECONDS = 30.0
Metadata = Sequence[tuple[str, str]]

# Only calls that the server did not carry out are tried again; the budget stops retries when most calls fail.
_SERVICE_CONFIG = json.dumps(
    {
        # A headless service names every pod: each of them gets its share of the calls.
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
)


def connect(address: str, settings: ProcessSettings) -> grpc.aio.Channel:
    """A channel to ``address``. Calls carry this process's token unless they bring an ``authorization`` of their own.

    To act for one tenant with a platform token, add the metadata ``on_behalf_of(tenant)``.
    """
    options = [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_receive_message_length", 64 * 1024 * 1024),
        # Shorter than the retries together, so that they meet a server that was only restarted.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    if settings.tls_ca_file is None:
        bare = grpc.aio.insecure_channel(address, options=options)
    else:
        bare = grpc.aio.secure_channel(address, _credentials(settings), options=options)
    return _Channel(bare, ServiceToken(settings.service_token_file))


def on_behalf_of(tenant: str) -> Metadata:
    """Metadata by which a platform token acts for one tenant."""
    return (("tessera-tenant", tenant),)


def _credentials(settings: ProcessSettings) -> grpc.ChannelCredentials:
    def read(path: Any) -> bytes | None:
        return path.read_bytes() if path else None

    return grpc.ssl_channel_credentials(
        read(settings.tls_ca_file), read(settings.tls_key_file), read(settings.tls_cert_file)
    )


class _Channel(grpc.aio.Channel):
    """A channel whose calls are given their metadata and deadline; everything else is the channel's own."""

    def __init__(self, bare: grpc.aio.Channel, token: ServiceToken) -> None:
        self._bare, self._token = bare, token

    async def __aenter__(self) -> "_Channel":
        await self._bare.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._bare.close()

    async def close(self, grace: float | None = None) -> None:
        await self._bare.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._bare.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._bare.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._bare.channel_ready()

    def unary_unary(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._calls(self._bare.unary_unary(method, *arguments, **named), DEADLINE_SECONDS)

    def unary_stream(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._calls(self._bare.unary_stream(method, *arguments, **named), None)

    def stream_unary(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._calls(self._bare.stream_unary(method, *arguments, **named), None)

    def stream_stream(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._calls(self._bare.stream_stream(method, *arguments, **named), None)

    def _calls(self, bare: Any, deadline: float | None) -> Any:
        def call(request: Any = None, *, timeout: float | None = None, metadata: Metadata = (), **named: Any) -> Any:
            sent = self._metadata(metadata)
            return bare(request, timeout=deadline if timeout is None else timeout, metadata=sent, **named)

        return call

    def _metadata(self, given: Metadata) -> Metadata:
        sent = list(given)
        if not any(key == "authorization" for key, _ in sent) and (own := self._token.header()):
            sent.append(("authorization", own))
        if carried := telemetry.traceparent():
            sent.append(("traceparent", carried))
        return tuple(sent)
