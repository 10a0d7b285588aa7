"""Recommendation's vectors of customers as the port ``Tastes``."""

from collections.abc import Sequence

import grpc
import numpy as np
import numpy.typing as npt

from services.segmentation.adapters.clients import customer_vectors
from services.segmentation.domain.persona import CUSTOMERS_MAX, CustomersTooMany, TastesUnknown

ATTEMPTS_MAX = 3


class RecommendationTastes:
    """Reads all vectors; again from the beginning where another model took over meanwhile."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def vectors(self, tenant: str) -> tuple[Sequence[str], npt.NDArray[np.float32]]:
        for _ in range(ATTEMPTS_MAX):
            found = await self._read(tenant)
            if found is not None:
                return found
        raise TastesUnknown("recommendation changes its model again and again; try later")

    async def _read(self, tenant: str) -> tuple[Sequence[str], npt.NDArray[np.float32]] | None:
        ids: list[str] = []
        parts: list[npt.NDArray[np.float32]] = []
        try:
            async for page in customer_vectors(self._channel, tenant):
                ids += [each.customer_id for each in page.vectors]
                parts += [np.array(each.values, np.float32) for each in page.vectors]
                if len(ids) > CUSTOMERS_MAX:
                    raise CustomersTooMany(f"more than {CUSTOMERS_MAX:,} customers have vectors", maximum=CUSTOMERS_MAX)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:  # the token is of a model before
                return None
            raise TastesUnknown(f"recommendation cannot be asked what customers like: {error.details()}") from error
        if not ids:
            raise TastesUnknown("recommendation has no model that knows what customers like: train one first")
        return ids, np.stack(parts)
