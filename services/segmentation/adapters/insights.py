"""The port ``Insights`` over the analytical engine: every question is one query or two."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ibis.expr.types as ir

from services.common.columnar import Columnar, of_tenant
from services.common.rules import Rule
from services.segmentation.adapters import (
    basket_query,
    feature_query,
    funnel_query,
    growth_query,
    retention_query,
    value_query,
)
from services.segmentation.adapters.breakdowns import LABEL, label
from services.segmentation.adapters.expressions import History
from services.segmentation.adapters.feature_query import behaviour_of
from services.segmentation.adapters.messages import MESSAGES
from services.segmentation.adapters.rfm_query import currencies, orders_until
from services.segmentation.adapters.tenant_history import tenant_history
from services.segmentation.domain.association import PAIRS_MAX, AssociationsTooMany, Baskets
from services.segmentation.domain.calendar import Calendar
from services.segmentation.domain.funnel import Funnel, FunnelResult, StepResult
from services.segmentation.domain.growth import Counted, Growth, GrowthResult, Trend, growth_periods
from services.segmentation.domain.persona import Behaviour
from services.segmentation.domain.retention import Retention, RetentionResult, Tally, cohorts
from services.segmentation.domain.segment_value import SegmentValues, Spans, Worth
from services.segmentation.domain.selection import Breakdown, Label, Missing, Others
from services.segmentation.ports import BasketItems


class ColumnarInsights:
    """What the history of customers says, for people."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def funnel(
        self, tenant: str, funnel: Funnel, breakdown: Breakdown | None, segments: Mapping[str, Rule], at: int
    ) -> FunnelResult:
        history, count = tenant_history(self._columnar, tenant), len(funnel.steps)
        customers = funnel_query.reaching(history.events, funnel, at)
        (whole,) = (await self._columnar.execute(funnel_query.results(customers, count))).to_pylist()
        if breakdown is None:
            return FunnelResult(_steps(whole, count), [])
        query = funnel_query.results_by(history, customers, funnel, breakdown, segments, at)
        rows = (await self._columnar.execute(query)).to_pylist()
        rows.sort(key=lambda row: _last(label(row), -row["count_0"]))
        return FunnelResult(_steps(whole, count), [(label(row), _steps(row, count)) for row in rows])

    async def dropping_off(self, tenant: str, funnel: Funnel, step: int, at: int, limit: int) -> list[str]:
        history = tenant_history(self._columnar, tenant)
        customers = funnel_query.reaching(history.events, funnel, at)
        stuck = customers[f"time_{step}"].notnull() & customers[f"time_{step + 1}"].isnull()
        query = customers.filter(stuck).select("customer_id").order_by("customer_id").limit(limit)
        found: list[str] = (await self._columnar.execute(query))["customer_id"].to_pylist()
        return found

    async def retention(
        self, tenant: str, question: Retention, segments: Mapping[str, Rule], at: int
    ) -> RetentionResult:
        history = tenant_history(self._columnar, tenant)
        question = replace(question, calendar=await self._since_the_beginning(history, question.calendar))
        currency = await self._currency(history, question.currency, at)
        began = retention_query.beginnings(history, question, segments, at)
        sizes, returned, paid = await self._rows(
            retention_query.sizes(began),
            retention_query.returns(history, began, question, at),
            retention_query.revenue(history, began, question, currency, at),
        )
        by_cohort: dict[tuple[int, Label], tuple[int, dict[int, int], dict[int, int]]] = {
            _cohort(row): (row["customers"], {}, {}) for row in sizes
        }
        for row in returned:
            by_cohort[_cohort(row)][1][row["offset"]] = row["customers"]
        for row in paid:
            by_cohort[_cohort(row)][2][row["offset"]] = row["revenue"]
        tallies = [Tally(it, period, *counted) for (period, it), counted in by_cohort.items()]
        return RetentionResult(currency, cohorts(question, tallies, question.calendar.period(at)))

    async def growth(self, tenant: str, question: Growth, segments: Mapping[str, Rule], at: int) -> GrowthResult:
        history = tenant_history(self._columnar, tenant)
        question = replace(question, calendar=await self._since_the_beginning(history, question.calendar))
        currency = await self._currency(history, question.currency, at)
        whole = await self._growth(history, replace(question, breakdown=None), segments, currency, at)
        periods = growth_periods(whole.get(Missing(), {}), question.calendar, question.periods, at)
        if question.breakdown is None:
            return GrowthResult(currency, periods, [])
        by_label = await self._growth(history, question, segments, currency, at)
        groups = [
            (it, growth_periods(counted, question.calendar, question.periods, at)) for it, counted in by_label.items()
        ]
        groups.sort(key=lambda group: _last(group[0], -group[1][-1].customers_to_date))
        return GrowthResult(currency, periods, groups)

    async def _growth(
        self, history: History, question: Growth, segments: Mapping[str, Rule], currency: str, at: int
    ) -> dict[Label, dict[int, Counted]]:
        labels = growth_query.labels_of(history, question.breakdown, segments, at)
        answers = await self._rows(
            growth_query.presence(history, labels, question, at),
            growth_query.conversions(history, labels, question, at),
            growth_query.purchases(history, labels, question, currency, at),
        )
        found: dict[Label, dict[int, Counted]] = {}
        for row in (row for answer in answers for row in answer):
            figures = {name: value for name, value in row.items() if name not in (*LABEL, "period")}
            periods = found.setdefault(label(row), {})
            periods[row["period"]] = replace(periods.get(row["period"], Counted()), **figures)
        return found

    async def trend(
        self, tenant: str, question: Trend, segments: Mapping[str, Rule], at: int
    ) -> list[tuple[Label, list[float]]]:
        history = tenant_history(self._columnar, tenant)
        question = replace(question, calendar=await self._since_the_beginning(history, question.calendar))
        (rows,) = await self._rows(growth_query.trend(history, question, segments, at))
        first = question.calendar.period(at) - question.periods + 1
        series: dict[Label, list[float]] = {} if question.breakdown else {Missing(): [0.0] * question.periods}
        events: dict[Label, int] = {}
        for row in rows:
            of = label(row)
            series.setdefault(of, [0.0] * question.periods)[row["period"] - first] = row["figure"]
            events[of] = events.get(of, 0) + row["events"]
        return sorted(series.items(), key=lambda it: _last(it[0], -events.get(it[0], 0)))

    async def basket_items(self, tenant: str, baskets: Baskets, at: int) -> BasketItems:
        events = tenant_history(self._columnar, tenant).events
        answer = await self._columnar.execute(basket_query.pairs(events, baskets, at, PAIRS_MAX + 1))
        if answer.num_rows > PAIRS_MAX:
            raise AssociationsTooMany(
                f"the baskets hold more than {PAIRS_MAX:,} items; look at a shorter window", limit="window"
            )
        return await asyncio.to_thread(basket_query.numbered, answer)

    async def segment_values(
        self,
        tenant: str,
        segment_ids: Sequence[str],
        segments: Mapping[str, Rule],
        spans: Spans,
        currency: str,
        at: int,
    ) -> SegmentValues:
        history = tenant_history(self._columnar, tenant)
        currency = await self._currency(history, currency, at)
        messages = of_tenant(self._columnar.table(MESSAGES), tenant)
        names = [*(f"s{number}" for number in range(len(segment_ids))), value_query.OTHERS, value_query.EVERYBODY]
        now = value_query.groups(history, segment_ids, segments, at)
        earlier = value_query.groups(history, segment_ids, segments, at - spans.growth)
        ((sizes,), (before,), (worth,)) = await self._rows(
            value_query.sizes(now, names),
            value_query.sizes(earlier, names),
            value_query.worth(history, messages, now, names, currency, spans, at),
        )

        def of(name: str) -> Worth:
            figures = {
                key.removeprefix(f"{name}_"): value for key, value in worth.items() if key.startswith(f"{name}_")
            }
            return Worth(sizes[f"{name}_customers"], before[f"{name}_customers"], **figures)

        *each, others, everybody = map(of, names)
        return SegmentValues(currency, each, others, everybody)

    async def behaviour(
        self, tenant: str, currency: str, local: Calendar, at: int, figures: Sequence[str] | None = None
    ) -> Behaviour:
        history = tenant_history(self._columnar, tenant)
        local = await self._since_the_beginning(history, local)
        currency = await self._currency(history, currency, at)
        orders = feature_query.orders_in(history.events, currency, at)
        names = feature_query.told_apart(figures) if figures is not None else await self._commonest(orders)
        answer = await self._columnar.execute(feature_query.behaviour(history.events, orders, *names, local, at))
        return await asyncio.to_thread(behaviour_of, answer, currency, *names)

    async def _commonest(self, orders: ir.Table) -> tuple[list[str], list[str]]:
        """The categories and the channels that are told apart."""
        (categories, channels) = await self._rows(
            feature_query.commonest(orders, feature_query.CATEGORY, feature_query.CATEGORIES_MAX),
            feature_query.commonest(orders, feature_query.CHANNEL, feature_query.CHANNELS_MAX),
        )
        return [row["text"] for row in categories], [row["text"] for row in channels]

    async def _since_the_beginning(self, history: History, calendar: Calendar) -> Calendar:
        """The calendar without the changes of clocks that were before every event: each costs every row."""
        times = history.events.aggregate(earliest=history.events.time.min())
        earliest = (await self._columnar.execute(times))["earliest"][0].as_py()
        return calendar if earliest is None else calendar.since(earliest)

    async def _currency(self, history: History, asked: str, at: int) -> str:
        """The currency that is asked for, or the one with the most orders; empty without orders."""
        if asked:
            return asked
        found = await self._columnar.execute(currencies(orders_until(history.events, at)))
        return str(found["currency"][0]) if found.num_rows else ""

    async def _rows(self, *queries: ir.Table) -> list[list[dict[str, Any]]]:
        answers = await asyncio.gather(*(self._columnar.execute(query) for query in queries))
        return [answer.to_pylist() for answer in answers]


def _cohort(row: Mapping[str, Any]) -> tuple[int, Label]:
    return row["period"], label(row)


def _last(of: Label, first: float) -> tuple[bool, bool, float, str, str]:
    """The order of groups: what is not told apart last, the rest by ``first``, then by value."""
    return isinstance(of, Missing | Others), isinstance(of, Others), first, type(of).__name__, str(of)


def _steps(row: Mapping[str, Any], count: int) -> Sequence[StepResult]:
    return [
        StepResult(row[f"count_{number}"], row.get(f"median_{number}"), row.get(f"step_median_{number}"))
        for number in range(count)
    ]
