"""Baskets as pairs of numbers: which basket holds which item, each pair once."""

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from services.common.flat.comparisons import timely
from services.segmentation.adapters.breakdowns import selected
from services.segmentation.domain.association import Baskets
from services.segmentation.ports import BasketItems


def pairs(events: ir.Table, baskets: Baskets, at: int, limit: int) -> ir.Table:
    """``basket`` and ``item`` of one tenant's events up to ``at``."""
    seen = events.filter(events.time <= at)
    chosen = seen.filter(selected(seen, baskets.events, at) & timely(seen.time, baskets.window, at))
    items = chosen.texts.get(baskets.property).unique()
    held = chosen.select(basket=chosen.message_id, item=items.unnest())
    return held.filter(held.item.notnull()).limit(limit)


def numbered(answer: pa.Table) -> BasketItems:
    """The answer of ``pairs`` with baskets and items numbered; items by name, so that equal histories are equal."""
    baskets = answer["basket"].combine_chunks().dictionary_encode()
    items = answer["item"].combine_chunks().dictionary_encode()
    names: list[str] = items.dictionary.to_pylist()
    by_name = sorted(range(len(names)), key=names.__getitem__)
    places = np.empty(len(names), np.int64)
    places[by_name] = np.arange(len(names))
    return BasketItems(
        baskets=baskets.indices.to_numpy().astype(np.int64),
        items=places[items.indices.to_numpy()],
        basket_count=len(baskets.dictionary),
        names=[names[place] for place in by_name],
    )
