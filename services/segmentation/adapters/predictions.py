"""Predictions of customers as rows of the analytical engine."""

import asyncio
import logging
from collections.abc import Collection

import pyarrow as pa

from services.common.columnar import Columnar
from services.segmentation.adapters.tables import PREDICTIONS
from services.segmentation.ports.predictions import Prediction

log = logging.getLogger(__name__)


class ColumnarPredictions:
    """The port ``Predictions``. The version is the cursor that is committed with the rows."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def version(self, tenant: str) -> int:
        return int(await self._columnar.cursor(_follower(tenant)) or 0)

    async def keep(self, tenant: str, version: int, predictions: Collection[Prediction]) -> None:
        rows = await asyncio.to_thread(_rows, tenant, version, predictions)
        await self._columnar.append({PREDICTIONS: rows}, _follower(tenant), str(version))
        log.info("%d predictions of model %d of tenant %s are kept", len(rows), version, tenant)


def _follower(tenant: str) -> str:
    return f"predictions of {tenant}"


def _rows(tenant: str, version: int, predictions: Collection[Prediction]) -> pa.Table:
    names = [name for name in PREDICTIONS.schema.names if name not in ("tenant", "version")]
    columns = {name: [getattr(each, name) for each in predictions] for name in names}
    columns |= {"tenant": [tenant] * len(predictions), "version": [version] * len(predictions)}
    return pa.table({name: columns[name] for name in PREDICTIONS.schema.names}, schema=PREDICTIONS.schema)
