"""The SQL of queries, kept: composing it takes longer than most queries over few rows."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, TypeAlias

import ibis
import ibis.expr.types as ir

Bound: TypeAlias = Mapping[ir.IntegerScalar, int | Sequence[int]]
"""Values for the parameters (``ibis.param("int64")``) of a query; several, and at least one, for the only one of
``isin``."""

_MARK = 4_611_686_018_427_000_000  # no time and no span of a rule is as large


class Texts:
    """The SQL of the queries with parameters that were asked last, for one engine. Safe to use from threads.

    A query is known again if it is the same expression, so whoever asks often keeps it. Its parameters stand in the
    kept text as marks, which their values replace.
    """

    def __init__(self, dialect: str, kept_max: int = 64) -> None:
        self._dialect, self._kept_max = dialect, kept_max
        self._kept: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._lock = Lock()

    def text(self, query: ir.Table, bound: Bound | None) -> str:
        """The SQL of ``query`` with the values of its parameters; ``None``: it is not asked again."""
        if bound is None:
            return str(ibis.to_sql(query, dialect=self._dialect, pretty=False))
        text = self._marked(query, list(bound))
        for number, value in enumerate(bound.values()):
            values = [value] if isinstance(value, int) else value
            written = ", ".join(str(each) if each >= 0 else f"({each})" for each in values)
            text = text.replace(str(_MARK + number), written)
        return text

    def _marked(self, query: ir.Table, parameters: Sequence[ir.IntegerScalar]) -> str:
        key = query.op(), *(each.op() for each in parameters)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        marks = {each: _MARK + number for number, each in enumerate(parameters)}
        text = str(ibis.to_sql(query, dialect=self._dialect, pretty=False, params=marks))
        with self._lock:
            self._kept[key] = text
            if len(self._kept) > self._kept_max:
                self._kept.popitem(last=False)
        return text
