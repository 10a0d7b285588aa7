"""Media mix models as documents."""

from dataclasses import asdict
from typing import Any

import numpy as np

from services.common.errors import AlreadyExists
from services.common.store import Collection, Index, Insert, Query, Store
from services.forecasting.domain.media_mix import StoredMix

MEDIA_MIXES = Collection("media_mixes", (Index(("version",)),))
COLLECTIONS = (MEDIA_MIXES,)
_ARRAYS = (
    "theta",
    "covariance",
    "scale",
    "units",
    "sizes",
    "mean_spend",
    "period_spend",
    "sales",
    "fitted",
    "contributions",
    "beliefs",
)


class StoredMediaMixes:
    """The port ``MediaMixes`` over the document store. A model's id is its version."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, tenant: str, mix: StoredMix) -> int:
        """Keep the model under the next version, which is answered."""
        while True:
            version = await self._newest(tenant) + 1
            body = asdict(mix) | {name: getattr(mix, name).tolist() for name in _ARRAYS} | {"version": version}
            try:
                await self._store.commit([Insert(tenant, MEDIA_MIXES, str(version), body)])
            except AlreadyExists:
                continue  # another fit took the version meanwhile
            return version

    async def get(self, tenant: str, version: int) -> StoredMix | None:
        number = version or await self._newest(tenant)
        found = await self._store.get(tenant, MEDIA_MIXES, str(number)) if number else None
        return _mix(found.body) if found else None

    async def _newest(self, tenant: str) -> int:
        page = await self._store.find(tenant, MEDIA_MIXES, Query(order_by="version", descending=True, limit=1))
        return int(page.documents[0].body["version"]) if page.documents else 0


def _mix(body: dict[str, Any]) -> StoredMix:
    return StoredMix(**body | {name: np.array(body[name], dtype=np.float64) for name in _ARRAYS})
