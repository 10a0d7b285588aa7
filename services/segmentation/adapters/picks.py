"""The value of the earliest or the newest row, as both engines compute it."""

from collections.abc import Callable
from typing import Any

import ibis


def pick(name: str, kind: str) -> Callable[..., Any]:
    """An aggregate that both engines have under this name but Ibis does not: a value of the type ``kind`` by the order
    of another."""

    def declared(value: Any, order: Any) -> Any:
        """Never called: the engine's own."""

    signature = ((kind, "struct<time: int64, tie: string>"), kind)
    picked: Callable[..., Any] = ibis.udf.agg.builtin(declared, name=name, signature=signature)
    return picked
