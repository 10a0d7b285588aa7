"""Instants as numbers of hours or local days, as an expression."""

import ibis
import ibis.expr.types as ir

from services.forecasting.domain.periods import Buckets


def bucket(time: ir.Value, buckets: Buckets) -> ir.Value:
    """The bucket's number, in whole numbers throughout: a division of doubles could round at a boundary."""
    shift: ir.Value = ibis.literal(buckets.shifts[0][1], type="int64")
    for begin, value in buckets.shifts[1:]:
        shift = ibis.cases((time >= begin, ibis.literal(value, type="int64")), else_=shift)
    local = time + shift
    return ((local - local % buckets.unit) / buckets.unit).round().cast("int64")
