"""Consents and lists compiled to Ibis: what was said last of a customer, up to a moment."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import Moment
from services.segmentation.adapters.picks import pick

ALL_CHANNELS = ""
_latest = pick("max_by", "boolean")


def known_consents(consents: ir.Table, wanted: Mapping[tuple[str, str], str], at: Moment) -> ir.Table | None:
    """One row for each customer who said something of a purpose and channel: by name what holds, and since when."""
    if not wanted:
        return None
    said = consents.filter(consents.time <= at, consents.purpose.isin(sorted({purpose for purpose, _ in wanted})))
    order = ibis.struct({"time": said.time, "tie": said.tie})
    columns: dict[str, ir.Value] = {}
    for (purpose, channel), name in wanted.items():
        about = (said.purpose == purpose) & (said.channel == channel)
        columns[name] = _latest(said.granted, order, where=about)
        columns[f"{name}_time"] = said.time.max(where=about)
    return said.group_by("customer_id").aggregate(**columns)


def granted(figures: ir.Table, of_all: str, of_one: str) -> ir.BooleanValue:
    """Whether consent is given, by the rule of profiles: what was said of the channel; where nothing was, or where all
    channels were refused after it, what was said of all."""
    all_given, one_given = figures[of_all], figures[of_one]
    refused_later = ~all_given & (figures[f"{of_all}_time"] >= figures[f"{of_one}_time"])
    given: ir.BooleanValue = ibis.coalesce(one_given, all_given).fill_null(False) & ~refused_later.fill_null(False)
    return given


def listed(entries: ir.Table, wanted: Mapping[str, str], at: Moment) -> ir.Table | None:
    """One row for each customer who is or was on a list: by name whether still."""
    if not wanted:
        return None
    told = entries.filter(entries.time <= at, entries.list_id.isin(sorted(wanted)))
    order = ibis.struct({"time": told.time, "tie": told.tie})
    # After a merge a customer has the entries of several origins, and is on the list if one of them is.
    each = told.group_by(["customer_id", "origin_id"]).aggregate(
        **{name: _latest(told.listed, order, where=told.list_id == list_id) for list_id, name in wanted.items()}
    )
    return each.group_by("customer_id").aggregate(
        **{name: each[name].fill_null(False).any() for name in wanted.values()}
    )
