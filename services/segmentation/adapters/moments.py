"""The moments at which time alone may change what rules say of customers, as one Ibis expression over the history."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import Moment
from services.common.flat.paths import values_at
from services.segmentation.adapters.expressions import History
from services.segmentation.adapters.picks import least
from services.segmentation.domain.timing import Timing, trait_names


def upcoming(history: History, timing: Timing, since: Moment, until: Moment) -> ir.Table:
    """Each customer for whom something may change after ``since`` and not after ``until``, with the first ``moment``.

    For each age the time of events is compared with constants, so that an engine reads only the part of the history
    that was recorded about then. The history of some customers is small, and is read once for all ages.
    """
    parts = list(_parts(history, timing, since, until))
    moments = ibis.union(parts[0], *parts[1:])
    return moments.group_by("customer_id").aggregate(moment=moments.moment.min())


def _parts(history: History, timing: Timing, since: Moment, until: Moment) -> Iterator[ir.Table]:
    events, traits = history.events, history.traits
    for rows in (events, traits, history.consents, history.listed):  # told ahead of their time
        yield _timely(rows, 0, since, until)
    if history.some:
        yield from _aged(events, timing, since, until)
    else:
        for age, pairs in groupby(sorted((age, name) for name, age in timing.ages), key=lambda pair: pair[0]):
            yield _timely(events.filter(events.name.isin([name for _, name in pairs])), age, since, until)
    if timing.groups:
        yield from _of_groups(history, timing, since, until)
    for field, offset in sorted(timing.traits):
        yield _valued(traits.filter(traits.name.isin(trait_names(field))), field, offset, since, until)
    for name, field, offset in sorted(timing.properties):
        yield _valued(events.filter(events.name == name), field, offset, since, until)


def _of_groups(history: History, timing: Timing, since: Moment, until: Moment) -> Iterator[ir.Table]:
    members = history.groups.members
    yield _timely(members, 0, since, until)
    said = members.select("customer_id", "group_id").distinct().inner_join(history.groups.traits, "group_id")
    yield _timely(said, 0, since, until)
    for field, offset in sorted(timing.group_traits):
        yield _valued(said.filter(said.name.isin(trait_names(field))), field, offset, since, until)


def _timely(rows: ir.Table, age: int, since: Moment, until: Moment) -> ir.Table:
    found = rows.filter(rows.time > since - age, rows.time <= until - age)
    return found.select("customer_id", moment=found.time + age)


def _aged(events: ir.Table, timing: Timing, since: Moment, until: Moment) -> Iterator[ir.Table]:
    """For each name of events the first moment at which one of them reaches one of the ages."""
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    for name, age in sorted(timing.ages):
        by_name[name].append(age)
    for name, ages in by_name.items():
        own = events.filter(events.name == name).select("customer_id", "time")
        reached = [
            ibis.ifelse((own.time > since - age) & (own.time <= until - age), own.time + age, None) for age in ages
        ]
        found = own.select("customer_id", moment=least(reached))
        yield found.filter(found.moment.notnull())


def _valued(rows: ir.Table, field: str, offset: int, since: Moment, until: Moment) -> ir.Table:
    instants = values_at(rows.instants, field)
    timely = instants.filter(lambda time: (time > since - offset) & (time <= until - offset))
    found = rows.select("customer_id", moment=timely.mins() + offset)
    return found.filter(found.moment.notnull())
