"""The value of the earliest or the newest row, and the least of several values, as both engines compute them."""

from collections.abc import Callable, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir


def pick(name: str, kind: str) -> Callable[..., Any]:
    """An aggregate that both engines have under this name but Ibis does not: a value of the type ``kind`` by the order
    of another."""

    def declared(value: Any, order: Any) -> Any:
        """Never called: the engine's own."""

    signature = ((kind, "struct<time: int64, tie: string>"), kind)
    picked: Callable[..., Any] = ibis.udf.agg.builtin(declared, name=name, signature=signature)
    return picked


def least(values: Sequence[ir.Value]) -> ir.Value:
    """The least of them that is not null. Spark takes no fewer than two."""
    return ibis.least(*values) if len(values) > 1 else values[0]
