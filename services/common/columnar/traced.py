"""The analytical engine in a trace: a span for each query of a sampled request, and nothing for the others."""

from collections.abc import Mapping, Sequence

import ibis.expr.types as ir
import pyarrow as pa
from opentelemetry.trace import SpanKind

from services.common.columnar.port import Amendment, Columnar, Rows, Table
from services.common.columnar.texts import Bound
from services.common.telemetry import recording, span


class TracedColumnar:
    """The port ``Columnar`` over another one. ``system`` is its name in traces (``db.system.name``).

    The engine works in threads, which do not know the request: the span begins and ends on the event loop, so it
    holds the time that a query waited for a thread as well.
    """

    def __init__(self, columnar: Columnar, system: str) -> None:
        self._columnar, self._system = columnar, system

    async def append(
        self, rows: Mapping[Table, Rows], follower: str, cursor: str, amendments: Sequence[Amendment] = ()
    ) -> bool:
        return await self._columnar.append(rows, follower, cursor, amendments)

    async def cursor(self, follower: str) -> str:
        return await self._columnar.cursor(follower)

    def table(self, table: Table) -> ir.Table:
        return self._columnar.table(table)

    async def execute(
        self, query: ir.Table, given: Mapping[str, pa.Table] | None = None, bound: Bound | None = None
    ) -> pa.Table:
        if not recording():
            return await self._columnar.execute(query, given, bound)
        with span("columnar.query", SpanKind.CLIENT, **{"db.system.name": self._system}) as current:
            answer = await self._columnar.execute(query, given, bound)
            current.set_attribute("db.response.returned_rows", answer.num_rows)
            return answer

    async def close(self) -> None:
        await self._columnar.close()
