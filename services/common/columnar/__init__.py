"""The analytical engine: one port, two engines (DuckDB embedded, Apache Spark in production), queried with Ibis."""

from services.common.columnar.comparisons import let_threads_compare
from services.common.columnar.opening import open_columnar
from services.common.columnar.port import Amendment, Assign, Columnar, Keep, Remove, Table, of_tenant, unbound

__all__ = ["Amendment", "Assign", "Columnar", "Keep", "Remove", "Table", "of_tenant", "open_columnar", "unbound"]

let_threads_compare()
