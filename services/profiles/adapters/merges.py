"""The merge log, and the commits that merge and unmerge."""

from collections.abc import Sequence

from services.common import telemetry
from services.common.idempotency import remember, replayed
from services.common.store import Store, Write
from services.profiles.adapters.computed_traits import mark
from services.profiles.adapters.customer_keys import CustomerKeys
from services.profiles.adapters.interleaved import Run, Runs, newest_first
from services.profiles.adapters.merge_log import MERGES, merge_body, merge_writes, read_merge, unmerge_writes
from services.profiles.adapters.store import customer_writes
from services.profiles.domain.merge import Merge
from services.profiles.ports import Movement, Request

_END_OF_TIME = 2**63 - 1


class StoredMerges:
    """The port ``Merges``."""

    def __init__(self, store: Store, keys: CustomerKeys) -> None:
        self._store, self._keys = store, keys

    async def get(self, tenant: str, merge_id: str) -> Merge | None:
        document = await self._store.get(tenant, MERGES, merge_id)
        return None if document is None else read_merge(merge_id, document.body)

    async def page(self, tenant: str, customers: Sequence[str], limit: int, after: str) -> tuple[list[Merge], str]:
        part = [{name: key} for key in customers for name in ("customer_id", "merged_customer_id")]
        runs = Runs(MERGES, [Run(where, _END_OF_TIME) for where in part or [{}]])
        token_of = repr((tenant, "merges", customers[:1]))
        documents, token = await newest_first(self._store, tenant, runs, lambda _: True, limit, after, token_of)
        return [read_merge(document.id, document.body) for document in documents], token

    async def answered(self, request: Request) -> list[Merge] | None:
        answer = await replayed(self._store, request.tenant, request.id, request.fingerprint)
        return None if answer is None else [read_merge(key, body) for key, body in answer["merges"]]

    async def move(self, request: Request, movement: Movement) -> None:
        tenant, back = request.tenant, movement.taken_back
        keys, made = await self._keys.for_writing(tenant, movement.changed, movement.versions)
        writes: list[Write] = [*await self._keys.writes(tenant, made)]
        writes += customer_writes(tenant, movement.changed, movement.versions, keys)
        for merge in movement.made:
            writes += merge_writes(tenant, merge)
        if back:
            writes += unmerge_writes(tenant, back, movement.taken_from, movement.moved)
        moment = max(merge.unmerge_time or merge.merge_time for merge in (*movement.made, *([back] if back else [])))
        writes += mark(tenant, list(movement.changed), moment)
        merges = [*movement.made, *([back] if back else [])]
        answer = {"merges": [[merge.merge_id, merge_body(merge)] for merge in merges]}
        await self._store.commit([*writes, *remember(tenant, request.id, request.fingerprint, answer)])
        self._keys.remember(tenant, made)
        for merge in movement.made:
            telemetry.counter("profiles.customers.merged").add(1, {"rule": merge.rule})
        if back:
            telemetry.counter("profiles.customers.unmerged").add(1, {"rule": back.rule})
