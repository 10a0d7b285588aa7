"""What tenants demand of their events."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.profiles.domain.event_schema import EventSchema
from services.profiles.ports.request import Request


@dataclass(frozen=True, slots=True)
class Demand:
    """A schema that holds, and its check: of properties or traits, where they break it and how, or ``None``."""

    schema: EventSchema
    check: Callable[[Any], tuple[str, str] | None]


class EventSchemas(Protocol):
    """What all tenants demand of their events."""

    def compile(self, schema: Mapping[str, Any]) -> Callable[[Any], tuple[str, str] | None]:
        """The check by ``schema``; ``SchemaInvalid`` for what is no JSON Schema, or has patterns that backtrack."""
        ...

    async def demands(self, tenant: str) -> Mapping[str, Demand]:
        """What holds, by event name; what another server has changed, seconds later."""
        ...

    async def put_before(self, request: Request) -> EventSchema | None:
        """What ``request`` put before; ``RequestIdReused``."""
        ...

    async def get(self, tenant: str, event_name: str, version: int = 0) -> EventSchema | None:
        """A version, or with 0 the one that holds."""
        ...

    async def count(self, tenant: str) -> int:
        """How many events have a schema."""
        ...

    async def page(self, tenant: str, event_name: str, limit: int, after: str) -> tuple[list[EventSchema], str]:
        """A page of those that hold, or of one event's versions, the newest first, and the token of the next."""
        ...

    async def put(self, request: Request, schema: EventSchema, current: EventSchema | None) -> None:
        """Let ``schema`` hold instead of ``current``; ``AlreadyExists`` or ``Conflict`` if another was faster."""
        ...

    async def delete(self, request: Request, event_name: str) -> bool:
        """Forget all versions; whether there was one, also to the same request again. ``RequestIdReused``."""
        ...
