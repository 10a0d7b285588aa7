"""Event schemas as documents, and compiled: checks that take time in proportion to the event."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema_rs
import orjson

from services.common.idempotency import remember, replayed
from services.common.store import Collection, Delete, Document, Index, Insert, Query, Replace, Store, Write
from services.profiles.domain.event_schema import SCHEMAS_MAX, VERSIONS_MAX, EventSchema, Mode, SchemaInvalid
from services.profiles.ports import Demand, Request

EVENT_SCHEMAS = Collection("event_schemas")
EVENT_SCHEMA_VERSIONS = Collection("event_schema_versions", (Index(("event_name", "version")),))
REREAD_SECONDS = 5.0
"""How long a server may go on with what another one has changed."""
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
_MESSAGE_LENGTH_MAX = 500

Check = Callable[[Any], tuple[str, str] | None]


class StoredEventSchemas:
    """The port ``EventSchemas``: a document for the version that holds, and one for each version."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._demands: dict[str, tuple[float, dict[str, Demand]]] = {}

    @staticmethod
    def compile(schema: Mapping[str, Any]) -> Check:
        """See ``EventSchemas.compile``."""
        try:
            validator = jsonschema_rs.Draft202012Validator(
                dict(schema), validate_formats=True, offline=True, pattern_options=_PATTERNS, mask="the value"
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            at = "".join(f"/{part}" for part in getattr(error, "instance_path", ()))
            raise SchemaInvalid(at, str(getattr(error, "message", error))[:_MESSAGE_LENGTH_MAX]) from error

        def check(properties: Any) -> tuple[str, str] | None:
            if validator.is_valid(properties):
                return None
            error = next(iter(validator.iter_errors(properties)))
            return _path(error.instance_path), error.message[:_MESSAGE_LENGTH_MAX]

        return check

    async def demands(self, tenant: str) -> Mapping[str, Demand]:
        """See ``EventSchemas.demands``."""
        known = self._demands.get(tenant)
        if known is not None and self._clock() < known[0]:
            return known[1]
        page = await self._store.find(tenant, EVENT_SCHEMAS, Query(limit=SCHEMAS_MAX + 50))
        before = known[1] if known else {}
        demands = {}
        for schema in map(_schema, page.documents):
            old = before.get(schema.event_name)
            demands[schema.event_name] = old if old and old.schema == schema else self._demand(schema)
        self._demands[tenant] = self._clock() + REREAD_SECONDS, demands
        return demands

    def _demand(self, schema: EventSchema) -> Demand:
        return Demand(schema, self.compile(orjson.loads(schema.json)))

    async def put_before(self, request: Request) -> EventSchema | None:
        answer = await replayed(self._store, request.tenant, request.id, request.fingerprint)
        return _from_body(answer) if answer else None

    async def get(self, tenant: str, event_name: str, version: int = 0) -> EventSchema | None:
        if not version:
            document = await self._store.get(tenant, EVENT_SCHEMAS, event_name)
        else:
            document = await self._store.get(tenant, EVENT_SCHEMA_VERSIONS, _version_id(event_name, version))
        return _schema(document) if document else None

    async def count(self, tenant: str) -> int:
        return await self._store.count(tenant, EVENT_SCHEMAS)

    async def page(self, tenant: str, event_name: str, limit: int, after: str) -> tuple[list[EventSchema], str]:
        if event_name:
            where = {"event_name": event_name}
            query = Query(where=where, order_by="version", descending=True, limit=limit, after=after)
            page = await self._store.find(tenant, EVENT_SCHEMA_VERSIONS, query)
        else:
            page = await self._store.find(tenant, EVENT_SCHEMAS, Query(limit=limit, after=after))
        return [_schema(document) for document in page.documents], page.next_cursor

    async def put(self, request: Request, schema: EventSchema, current: EventSchema | None) -> None:
        tenant, name, body = request.tenant, schema.event_name, _body(schema)
        writes: list[Write] = [
            Insert(tenant, EVENT_SCHEMA_VERSIONS, _version_id(name, schema.version), body),
            *remember(tenant, request.id, request.fingerprint, body),
        ]
        if current is None:
            writes.append(Insert(tenant, EVENT_SCHEMAS, name, body))
        else:  # a document is replaced once a version
            writes.append(Replace(tenant, EVENT_SCHEMAS, name, body, current.version))
        if schema.version > VERSIONS_MAX:
            writes.append(Delete(tenant, EVENT_SCHEMA_VERSIONS, _version_id(name, schema.version - VERSIONS_MAX)))
        await self._store.commit(writes)
        self._demands.pop(tenant, None)

    async def delete(self, request: Request, event_name: str) -> bool:
        tenant = request.tenant
        if await replayed(self._store, tenant, request.id, request.fingerprint) is not None:
            return True
        if await self._store.get(tenant, EVENT_SCHEMAS, event_name) is None:
            return False
        versions = await self._store.find(
            tenant, EVENT_SCHEMA_VERSIONS, Query(where={"event_name": event_name}, limit=VERSIONS_MAX + 1)
        )
        writes: list[Write] = [Delete(tenant, EVENT_SCHEMA_VERSIONS, each.id) for each in versions.documents]
        writes += [Delete(tenant, EVENT_SCHEMAS, event_name)]
        await self._store.commit([*writes, *remember(tenant, request.id, request.fingerprint, {})])
        self._demands.pop(tenant, None)
        return True


def _version_id(event_name: str, version: int) -> str:
    return f"{version}:{event_name}"


def _path(parts: list[str | int]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.removeprefix(".")[:_MESSAGE_LENGTH_MAX]


def _body(schema: EventSchema) -> dict[str, Any]:
    return {
        "event_name": schema.event_name,
        "version": schema.version,
        "mode": int(schema.mode),
        "json": schema.json,
        "created": schema.create_time,
    }


def _schema(document: Document) -> EventSchema:
    return _from_body(document.body)


def _from_body(body: Mapping[str, Any]) -> EventSchema:
    return EventSchema(body["event_name"], body["version"], Mode(body["mode"]), body["json"], body["created"])
