"""The analytical engine: one port, two engines (DuckDB embedded, Apache Spark in production), queried with Ibis."""

from services.common.columnar.opening import open_columnar
from services.common.columnar.port import Columnar, Keep, Table, of_tenant

__all__ = ["Columnar", "Keep", "Table", "of_tenant", "open_columnar"]
