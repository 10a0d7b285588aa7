"""Named models that are fitted again and again, and what the newest of each says of customers, as documents.

Each fit claims a version of its name and writes under it; the name says which version is read. So readers see the
whole of one fit, and a fit that breaks off leaves nothing that is read. The newest models are kept, to be compared with
what came; what they say of customers is kept of the newest one only.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from services.common.errors import AlreadyExists, Conflict, Refusal
from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Range, Replace, Store, Write
from services.forecasting.domain.propensity import MODELS_MAX

WRITES_MAX = 2_000
_READ_AT_ONCE = 500
VERSIONS_KEPT = 20


class NamedModel(Protocol):
    """A fitted model."""

    @property
    def model_id(self) -> str: ...

    @property
    def version(self) -> int: ...


class Saying(NamedModel, Protocol):
    """What a model says of a customer."""

    @property
    def customer_id(self) -> str: ...


M = TypeVar("M", bound=NamedModel)
S = TypeVar("S", bound=Saying)


@dataclass(frozen=True)
class Kept(Generic[M, S]):
    """Where models of a kind are kept, and how."""

    names: Collection
    models: Collection
    sayings: Collection
    order: str
    """By which field sayings are listed; they have an index of it by ``fit``."""
    model: Callable[[dict[str, Any]], M]
    saying: Callable[[Mapping[str, Any]], S]
    body: Callable[[S], dict[str, Any]]
    deleted: Callable[[str], Refusal]
    """The refusal of a fit whose name was deleted meanwhile."""

    @property
    def collections(self) -> tuple[Collection, ...]:
        """All of them."""
        return self.names, self.models, self.sayings


def names_of(name: str) -> Collection:
    """A collection for names of models."""
    return Collection(name, (Index(("model_id",)),))


class StoredFits(Generic[M, S]):
    """The models of a kind, of all tenants, over the document store.

    A kind that has followers overrides ``_marking``, ``_telling`` and ``_told``, and what is done of a deletion.
    """

    kept = VERSIONS_KEPT

    def __init__(self, store: Store, where: Kept[M, S]) -> None:
        self._store, self._where = store, where
        self.turn = asyncio.Lock()
        """The right to change what followers are told of: one at a time."""

    async def names(self, tenant: str) -> list[str]:
        return [it.id for it in await self._names(tenant)]

    async def claim(self, tenant: str, model_id: str) -> int:
        while True:
            name = await self._store.get(tenant, self._where.names, model_id)
            try:
                if name is None:
                    body = {"model_id": model_id, "claimed": 1, "current": 0}
                    await self._store.commit([Insert(tenant, self._where.names, model_id, body)])
                    return 1
                claimed: int = name.body["claimed"] + 1
                body = name.body | {"claimed": claimed}
                await self._store.commit([Replace(tenant, self._where.names, model_id, body, name.version)])
                return claimed
            except (Conflict, AlreadyExists):
                continue  # another process claimed one first

    async def write(self, tenant: str, sayings: Sequence[S]) -> None:
        for begin in range(0, len(sayings), WRITES_MAX):
            part = sayings[begin : begin + WRITES_MAX]
            await self._store.commit([self._put(tenant, it) for it in part])

    def _put(self, tenant: str, it: S) -> Put:
        fit = fit_id(it.model_id, it.version)
        return Put(tenant, self._where.sayings, f"{fit}/{it.customer_id}", self._where.body(it) | {"fit": fit})

    async def drop(self, tenant: str, model_id: str, version: int, customer_ids: Sequence[str]) -> None:
        await self._delete(tenant, [f"{fit_id(model_id, version)}/{it}" for it in customer_ids])

    async def _delete(self, tenant: str, ids: Sequence[str]) -> None:
        for begin in range(0, len(ids), WRITES_MAX):
            part = ids[begin : begin + WRITES_MAX]
            await self._store.commit([Delete(tenant, self._where.sayings, it) for it in part])

    async def publish(self, tenant: str, model: M) -> None:
        before = await self._publish(tenant, model)
        await self._settle(tenant, model.model_id, max(before, 1), model.version)
        if (old := model.version - VERSIONS_KEPT) > 0:
            await self._store.commit([Delete(tenant, self._where.models, fit_id(model.model_id, old))])

    async def _settle(self, tenant: str, model_id: str, first: int, current: int) -> None:
        """Have followers told of what changed, and drop what the versions from the first on said."""
        await self._told(tenant, model_id, first, current)
        for version in range(first, current):
            await self._drop_fit(tenant, model_id, version)

    async def _told(self, tenant: str, model_id: str, first: int, current: int) -> None:
        """Nobody follows."""

    async def _marking(self, tenant: str, model_id: str, before: int) -> Sequence[Write]:
        """What to write with a version that becomes the one that is read."""
        return ()

    def _deleting(self, tenant: str, model_id: str, claimed: int) -> Sequence[Write]:
        """What to write with a name whose versions are not read any more."""
        return ()

    async def _telling(self, tenant: str, customer_ids: Sequence[str]) -> Sequence[Write]:
        """What to write with what is removed of these customers."""
        return ()

    async def _publish(self, tenant: str, model: M) -> int:
        while True:
            name = await self._store.get(tenant, self._where.names, model.model_id)
            if name is None or not name.body.get("deleted", 0) < model.version <= name.body["claimed"]:
                await self._drop_fit(tenant, model.model_id, model.version)
                raise self._where.deleted(model.model_id)
            before: int = name.body["current"]
            body = name.body | {"current": max(before, model.version)}
            written = asdict(model)  # type: ignore[call-overload]
            try:
                await self._store.commit(
                    [
                        Put(tenant, self._where.models, fit_id(model.model_id, model.version), written),
                        Replace(tenant, self._where.names, model.model_id, body, name.version),
                        *await self._marking(tenant, model.model_id, before),
                    ]
                )
            except Conflict:
                continue  # another fit claimed its version meanwhile
            return before

    async def _drop_fit(self, tenant: str, model_id: str, version: int, *, tell: bool = False) -> None:
        query = Query(where={"fit": fit_id(model_id, version)}, order_by=self._where.order, limit=1000)
        while found := (await self._store.find(tenant, self._where.sayings, query)).documents:
            await self._remove(tenant, found, tell=tell)

    async def _remove(self, tenant: str, found: Sequence[Document], *, tell: bool = False) -> None:
        """Remove what is said, and take it back from followers."""
        deletes = [Delete(tenant, self._where.sayings, document.id) for document in found]
        async with self.turn:
            told = await self._telling(tenant, [it.body["customer_id"] for it in found]) if tell else ()
            await self._store.commit([*deletes, *told])

    async def pages(self, tenant: str, model_id: str, version: int) -> AsyncIterator[list[str]]:
        """Of whom a version says something, some hundreds at a time."""
        after, more = "", True
        while more:
            where = {"fit": fit_id(model_id, version)}
            query = Query(where=where, order_by=self._where.order, limit=_READ_AT_ONCE, after=after)
            page = await self._store.find(tenant, self._where.sayings, query)
            yield [document.body["customer_id"] for document in page.documents]
            after = page.next_cursor
            more = bool(after)

    async def delete(self, tenant: str, model_id: str) -> None:
        """The name goes last: asked again, it does what a process did not come to; until then persons are erased from
        it."""
        await self._take_back(tenant, model_id, await self._close(tenant, model_id))

    async def _take_back(self, tenant: str, model_id: str, claimed: int) -> None:
        """Remove what the versions up to ``claimed`` said, from followers too, and then the name."""
        for version in _kept(claimed):
            await self._drop_fit(tenant, model_id, version, tell=True)
        name = await self._store.get(tenant, self._where.names, model_id)
        if name is not None and name.body["claimed"] == claimed:  # else it is being fitted again
            with suppress(Conflict):
                await self._store.commit([Delete(tenant, self._where.names, model_id, name.version)])

    async def _close(self, tenant: str, model_id: str) -> int:
        """Let no version that was claimed so far be read any more; how many there were."""
        while name := await self._store.get(tenant, self._where.names, model_id):
            claimed: int = name.body["claimed"]
            models = [Delete(tenant, self._where.models, fit_id(model_id, version)) for version in _kept(claimed)]
            body = name.body | {"current": 0, "deleted": claimed}
            closed = Replace(tenant, self._where.names, model_id, body, name.version)
            try:
                await self._store.commit([closed, *models, *self._deleting(tenant, model_id, claimed)])
            except Conflict:
                continue  # another process claimed or published a version
            return claimed
        return 0

    async def forget(self, tenant: str, customer_ids: Sequence[str]) -> int:
        """Remove what any model says of these customers, one that is being fitted too; how many there were."""
        found = [it for name in await self._names(tenant) for it in await self._said_of(tenant, name, customer_ids)]
        for begin in range(0, len(found), _READ_AT_ONCE):
            await self._remove(tenant, found[begin : begin + _READ_AT_ONCE], tell=True)
        return len(found)

    async def _said_of(self, tenant: str, name: Document, customer_ids: Sequence[str]) -> list[Document]:
        """What any version of a name says of these customers, one that is being fitted too."""
        versions = _kept(name.body["claimed"])
        ids = [f"{fit_id(name.id, version)}/{it}" for version in versions for it in customer_ids]
        return list((await self._store.get_many(tenant, self._where.sayings, ids)).values())

    async def below(self, tenant: str, model_id: str, version: int, value: float) -> S | None:
        field = self._where.order
        under = Range(field, at_most=value)
        query = Query(where={"fit": fit_id(model_id, version)}, range=under, order_by=field, descending=True, limit=1)
        found = (await self._store.find(tenant, self._where.sayings, query)).documents
        return self._saying(found[0]) if found else None

    async def correct(
        self, tenant: str, model_id: str, version: int, sayings: Sequence[S], gone: Sequence[str]
    ) -> None:
        async with self.turn:
            name = await self._store.get(tenant, self._where.names, model_id)
            if name is None:
                return  # deleted meanwhile
            if version <= name.body.get("deleted", 0):
                sayings = ()  # it is being deleted
            doomed = await self._said_of(tenant, name, gone) if gone else []
            deletes = [Delete(tenant, self._where.sayings, it.id) for it in doomed]
            touched = [*(it.customer_id for it in sayings), *(it.body["customer_id"] for it in doomed)]
            told = await self._telling(tenant, list(dict.fromkeys(touched)))
            await self._store.commit([*(self._put(tenant, it) for it in sayings), *deletes, *told])

    async def carry(self, tenant: str, model_id: str, moved: Sequence[tuple[str, str]]) -> None:
        ids = [each for pair in moved for each in pair]
        known = {it.customer_id: it for it in await self.of_customers(tenant, ids, [model_id])}
        taken: dict[str, S] = {}
        for source, target in moved:
            if source in known and target not in known:
                known[target] = taken[target] = replace(known[source], customer_id=target)  # type: ignore[type-var]
        sources = list(dict.fromkeys(source for source, _ in moved))
        version = max((it.version for it in known.values()), default=0)
        kept = [it for who, it in taken.items() if who not in sources]
        await self.correct(tenant, model_id, version, kept, sources)

    async def get(self, tenant: str, model_id: str, version: int = 0) -> M | None:
        if not version:
            name = await self._store.get(tenant, self._where.names, model_id)
            version = name.body["current"] if name else 0
        found = await self._store.get(tenant, self._where.models, fit_id(model_id, version)) if version else None
        return self._where.model(found.body) if found else None

    async def versions(self, tenant: str, model_id: str) -> list[M]:
        name = await self._store.get(tenant, self._where.names, model_id)
        ids = [fit_id(model_id, version) for version in reversed(_kept(name.body["current"]))] if name else []
        found = await self._store.get_many(tenant, self._where.models, ids)
        return [self._where.model(found[it].body) for it in ids if it in found]

    async def newest(self, tenant: str) -> list[M]:
        current = [(it.id, it.body["current"]) for it in await self._names(tenant) if it.body["current"]]
        ids = [fit_id(*each) for each in current]
        found = await self._store.get_many(tenant, self._where.models, ids)
        return [self._where.model(found[it].body) for it in ids if it in found]

    async def page(self, tenant: str, model_id: str, version: int, limit: int, after: str) -> tuple[list[S], str]:
        where = {"fit": fit_id(model_id, version)}
        query = Query(where=where, order_by=self._where.order, descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, self._where.sayings, query)
        return [self._saying(document) for document in page.documents], page.next_cursor

    async def of_customers(self, tenant: str, customer_ids: Sequence[str], model_ids: Sequence[str] = ()) -> list[S]:
        read: list[tuple[str, int]] | None = None
        found: dict[str, Document] = {}
        while (current := await self._current(tenant, model_ids)) != read:  # else a fit was published in between
            ids = [f"{fit_id(*each)}/{it}" for it in dict.fromkeys(customer_ids) for each in current]
            found = await self._store.get_many(tenant, self._where.sayings, ids)
            read = current
        ids = [f"{fit_id(*each)}/{it}" for it in dict.fromkeys(customer_ids) for each in read or ()]
        return [self._saying(found[it]) for it in ids if it in found]

    def _saying(self, document: Document) -> S:
        return self._where.saying({name: value for name, value in document.body.items() if name != "fit"})

    async def _current(self, tenant: str, model_ids: Sequence[str]) -> list[tuple[str, int]]:
        names = [(it.id, it.body["current"]) for it in await self._names(tenant)]
        return [(name, version) for name, version in names if version and (not model_ids or name in model_ids)]

    async def _names(self, tenant: str) -> list[Document]:
        query = Query(where={}, order_by="model_id", limit=2 * MODELS_MAX)
        return list((await self._store.find(tenant, self._where.names, query)).documents)


def _kept(claimed: int) -> range:
    """The versions of which something may be kept."""
    return range(max(claimed - VERSIONS_KEPT, 1), claimed + 1)


def grouped(sayings: Iterable[S]) -> dict[str, list[S]]:
    """What is said, by whom it is said of."""
    found: dict[str, list[S]] = {}
    for it in sayings:
        found.setdefault(it.customer_id, []).append(it)
    return found


def fit_id(model_id: str, version: int) -> str:
    """What the sayings of a version are kept under."""
    return f"{model_id}/{version}"
