"""Chooses the analytical engine by ``ANALYTICS_URL``."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.common.columnar.port import Columnar, Table
from services.common.columnar.traced import TracedColumnar
from services.common.errors import InvalidArgument
from services.common.settings import ServiceSettings


@asynccontextmanager
async def open_columnar(settings: ServiceSettings, tables: Sequence[Table]) -> AsyncIterator[Columnar]:
    """The service's analytical tables, created where they are missing; leaving closes the engine.

    Without ``ANALYTICS_URL``: DuckDB on ``<service>.duckdb`` in the data folder. ``sc://…``: Spark Connect. Each
    engine's library is imported only where it is chosen.
    """
    columnar = await asyncio.to_thread(_open, settings, tables)
    try:
        yield TracedColumnar(columnar, "spark" if settings.analytics_url else "duckdb")
    finally:
        await columnar.close()


def _open(settings: ServiceSettings, tables: Sequence[Table]) -> Columnar:
    if settings.analytics_url is None:
        from services.common.columnar.duckdb import DuckDBColumnar

        return DuckDBColumnar(
            settings.data_dir / f"{settings.service}.duckdb",
            tables,
            memory_max=settings.analytics_memory_max,
            threads=settings.analytics_threads,
        )
    if not settings.analytics_url.startswith("sc://"):
        raise InvalidArgument("ANALYTICS_URL must begin with sc:// (Spark Connect) or be unset (DuckDB)")
    from services.common.columnar.spark import SparkColumnar, connect

    return SparkColumnar(connect(settings.analytics_url), settings.service, tables)
