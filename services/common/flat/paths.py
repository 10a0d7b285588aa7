"""What a row has at a path of its maps."""

from functools import lru_cache
from typing import Any

import ibis
import ibis.expr.types as ir


def values_at(kind: ir.MapValue, path: str) -> ir.ArrayValue:
    """The values at ``path`` in one of the maps of a row, such as ``row.numbers``; null where there are none."""
    found: ir.ArrayValue = _lookup(str(kind.type()), str(kind.type().value_type))(kind, path)
    return found


@lru_cache
def _lookup(map_type: str, value_type: str) -> Any:
    """Spark's own function; DuckDB has a macro of this name, which is faster than its own."""

    def declared(kind: Any, path: Any) -> Any:
        """Never called: the engine's own."""

    return ibis.udf.scalar.builtin(declared, name="try_element_at", signature=((map_type, "string"), value_type))
