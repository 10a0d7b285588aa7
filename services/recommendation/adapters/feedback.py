"""What became of lists, as rows: recorded each once, and reported with the orders that followed."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from services.common import telemetry
from services.common.columnar import Columnar, of_tenant
from services.recommendation.adapters.examination import Examinations, looked_at
from services.recommendation.adapters.interactions import INTERACTIONS
from services.recommendation.adapters.tables import EXPOSURES, FEEDBACK
from services.recommendation.domain.drift import Lists
from services.recommendation.domain.examination import Examination
from services.recommendation.domain.experiment import Experiment, Outcome
from services.recommendation.domain.exploration import Shown
from services.recommendation.domain.feedback import DAY, EXPLORING, Feedback, FeedbackKind
from services.recommendation.ports import Exposure, Period, ReportRows, Request

log = logging.getLogger(__name__)

FEEDBACK_FOLLOWER, EXPOSURE_FOLLOWER = "recommendation.feedback", "recommendation.exposures"
EXPOSURES_WAITING_MAX = 100_000
ROWS_MAX = 10_000
SHOWN_DAYS = 30
SHOWN_SECONDS = 10.0
EXPLORED_MAX = 300_000
"""Items of lists with new ones, of which a third at most are new."""

RATED_MAX = 100_000
"""Items of which it is read how they were clicked before a period."""

_ = ibis._
DIMENSIONS = ("day", "scenario", "placement_id", "placement_version", "experiment_id", "variant")


class ColumnarFeedback:
    """The port ``FeedbackLog``. One writer: batches go one after the other."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar
        self._examinations = Examinations(columnar)
        self._writing = asyncio.Lock()
        self._waiting: dict[tuple[str, str, str], Exposure] = {}
        self._flushes = 0
        self._shown: dict[str, tuple[float, dict[str, Shown]]] = {}

    async def record(self, request: Request, events: Sequence[Feedback]) -> None:
        rows = pa.Table.from_pylist([_row(request.tenant, event) for event in events], schema=FEEDBACK.schema)
        cursor = f"{request.tenant} {request.id} {request.fingerprint}"
        async with self._writing:
            await self._columnar.append({FEEDBACK: rows}, FEEDBACK_FOLLOWER, cursor)
        telemetry.counter("recommendation.feedback.recorded").add(len(events))

    def expose(self, exposure: Exposure) -> None:
        key = exposure.tenant, exposure.experiment_id, exposure.subject
        if key not in self._waiting and len(self._waiting) >= EXPOSURES_WAITING_MAX:
            telemetry.counter("recommendation.exposures.dropped").add(1)
            return
        self._waiting.setdefault(key, exposure)

    async def flush(self) -> None:
        """Write the exposures that wait; what cannot be written waits on."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        rows = [
            {
                "tenant": each.tenant,
                "experiment_id": each.experiment_id,
                "subject": each.subject,
                "customer_id": each.customer_id,
                "origin_customer_id": each.customer_id,
                "variant": each.variant,
                "time": each.time,
            }
            for each in waiting.values()
        ]
        self._flushes += 1
        cursor = f"{rows[0]['time']} {self._flushes} {len(rows)}"
        try:
            await self._columnar.append(
                {EXPOSURES: pa.Table.from_pylist(rows, schema=EXPOSURES.schema)}, EXPOSURE_FOLLOWER, cursor
            )
        except BaseException:
            self._waiting = waiting | self._waiting
            raise

    async def examination(self, tenant: str, placement_id: str = "") -> Examination:
        return await self._examinations.of(tenant, placement_id)

    async def shown(self, tenant: str, customer_id: str, half_life: int, now: int) -> dict[str, float]:
        rows = self._feedback(tenant).filter(_.customer_id == customer_id, _.time > now - SHOWN_DAYS * DAY)
        age = (ibis.literal(now) - rows.time).cast("float64") / half_life
        weight = (age.clip(lower=0) * -0.6931471805599453).exp()
        clicked = (rows.kind != int(FeedbackKind.IMPRESSION)).cast("int64")
        grouped = rows.mutate(weight=weight, clicked=clicked).group_by("item_id")
        found = await self._columnar.execute(
            grouped.aggregate(shown=((1 - _.clicked) * _.weight).sum(), clicked=_.clicked.max())
        )
        return {
            row["item_id"]: float(row["shown"]) for row in found.to_pylist() if not row["clicked"] and row["shown"] > 0
        }

    async def shown_to_all(self, tenant: str) -> Mapping[str, Shown]:
        now = asyncio.get_running_loop().time()
        known = self._shown.get(tenant)
        if known is None or known[0] < now:
            counted = await self._columnar.execute(await self._rated(tenant, self._feedback(tenant)))
            columns = (counted[name].to_pylist() for name in ("item_id", "impressions", "clicks", "examined"))
            shown = {item_id: Shown(*counts) for item_id, *counts in zip(*columns, strict=True)}
            known = now + SHOWN_SECONDS, shown
            self._shown[tenant] = known
        return known[1]

    async def report(self, tenant: str, period: Period) -> ReportRows:
        events = self._within(tenant, period)
        likely = looked_at(events, await self.examination(tenant, period.placement_id), 0.0)
        placed = events.mutate(examined=likely)
        counted = placed.group_by(list(DIMENSIONS)).aggregate(
            impressions=(_.kind == 1).sum(),
            clicks=(_.kind == 2).sum(),
            carts=(_.kind == 3).sum(),
            purchases=(_.kind == 4).sum(),
            examined=((_.kind == 1).cast("float64") * _.examined).sum(),
            placed_clicks=((_.kind == 2) & (_.examined > 0)).sum(),
        )
        rows = await self._columnar.execute(counted.order_by(list(DIMENSIONS)).limit(ROWS_MAX))
        orders = await self._columnar.execute(self._attributed(tenant, events, period.window))
        shown = events.filter(_.kind == 1).group_by("item_id").aggregate(count=_.count())
        buyers = self._lines(tenant).group_by("item_id").aggregate(buyers=_.customer_id.nunique())
        joined = shown.left_join(buyers, "item_id").select("item_id", "count", "buyers")
        everybody = await self._columnar.execute(self._lines(tenant).aggregate(count=_.customer_id.nunique()))
        items = (await self._columnar.execute(joined)).to_pylist()
        customer_count = int(everybody["count"][0].as_py() or 0)
        explored = await self._columnar.execute(_explored(events))
        return ReportRows(rows.to_pylist(), orders.to_pylist(), items, customer_count, explored.to_pylist())

    async def explored(self, tenant: str, period: Period) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            await self._columnar.execute(_explored(self._within(tenant, period)))
        ).to_pylist()
        return found

    async def shown_in(self, tenant: str, period: Period) -> Lists:
        events = self._within(tenant, period).filter(_.kind <= int(FeedbackKind.CLICK))
        counted = events.group_by("item_id").aggregate(impressions=(_.kind == 1).sum(), clicks=(_.kind == 2).sum())
        total = await self._columnar.execute(
            counted.aggregate(impressions=_.impressions.sum(), clicks=_.clicks.sum()).fill_null(0)
        )
        most = counted.filter(_.impressions > 0).order_by(ibis.desc("impressions"), "item_id").limit(RATED_MAX)
        found = await self._columnar.execute(most)
        shown = dict(zip(found["item_id"].to_pylist(), found["impressions"].to_pylist(), strict=True))
        impressions, clicks = (int(total[name][0].as_py() or 0) for name in ("impressions", "clicks"))
        return Lists(impressions, clicks, shown)

    async def clicked_before(self, tenant: str, period: Period) -> list[dict[str, Any]]:
        counted = await self._rated(tenant, self._feedback(tenant).filter(_.time < period.start))
        most = counted.order_by(ibis.desc("impressions"), "item_id").limit(RATED_MAX)
        found: list[dict[str, Any]] = (await self._columnar.execute(most)).to_pylist()
        return found

    async def outcomes(self, tenant: str, experiment: Experiment) -> tuple[dict[str, Outcome], str]:
        exposed = of_tenant(self._columnar.table(EXPOSURES), tenant).filter(_.experiment_id == experiment.experiment_id)
        lines = self._lines(tenant).select("customer_id", "amount_minor", "currency", line_time=_.time)
        ordered = exposed.inner_join(lines, "customer_id").filter(
            _.line_time >= _.time, _.customer_id != "", _.line_time < (experiment.end_time or 2**62)
        )
        by_currency = ordered.group_by("currency").aggregate(total=_.amount_minor.sum())
        top = await self._columnar.execute(by_currency.order_by(ibis.desc("total"), "currency").limit(1))
        currency = str(top["currency"][0].as_py()) if top.num_rows else ""
        spent = ordered.filter(_.currency == currency).group_by("subject").aggregate(revenue=_.amount_minor.sum())
        clicks = self._feedback(tenant).filter(
            _.experiment_id == experiment.experiment_id, _.kind == int(FeedbackKind.CLICK)
        )
        clickers = clicks.select("subject").distinct().mutate(clicked=ibis.literal(1))
        people = exposed.left_join(spent, "subject").select("subject", "variant", "revenue")
        people = people.left_join(clickers, "subject").select("variant", "revenue", "clicked")
        revenue = people.revenue.fill_null(0).cast("float64")
        found = await self._columnar.execute(
            people.mutate(
                revenue=revenue, bought=people.revenue.notnull().cast("int64"), clicked=_.clicked.fill_null(0)
            )
            .mutate(square=_.revenue * _.revenue)
            .group_by("variant")
            .aggregate(
                subjects=_.count(),
                clickers=_.clicked.sum(),
                buyers=_.bought.sum(),
                revenue=_.revenue.sum(),
                revenue_squares=_.square.sum(),
            )
        )
        return {row.pop("variant"): Outcome(**row) for row in found.to_pylist()}, currency

    async def of_person(self, tenant: str, ids: Sequence[str], limit: int, offset: int) -> list[dict[str, Any]]:
        rows = self._feedback(tenant)
        theirs = rows.filter(rows.customer_id.isin(list(ids)) | rows.origin_customer_id.isin(list(ids)))
        ordered = theirs.order_by("time", "event_id").limit(limit, offset=offset)
        columns = ordered.select("item_id", "kind", "time", "placement_id", "experiment_id", "variant", "position")
        found: list[dict[str, Any]] = (await self._columnar.execute(columns)).to_pylist()
        return found

    async def count_of(self, tenant: str, ids: Sequence[str]) -> int:
        """How many events of a person are recorded."""
        rows = self._feedback(tenant)
        theirs = rows.filter(rows.customer_id.isin(list(ids)) | rows.origin_customer_id.isin(list(ids)))
        return int((await self._columnar.execute(theirs.aggregate(count=_.count())))["count"][0].as_py())

    async def _rated(self, tenant: str, events: ir.Table) -> ir.Table:
        """By item how often it was seen, how many looks that was worth (one where nothing is known of the place), and
        how often it was clicked."""
        seen = events.filter(_.kind <= int(FeedbackKind.CLICK))
        placed = seen.mutate(likely=looked_at(seen, await self.examination(tenant), 1.0))
        return placed.group_by("item_id").aggregate(
            impressions=(_.kind == 1).sum(),
            clicks=(_.kind == 2).sum(),
            examined=((_.kind == 1).cast("float64") * _.likely).sum(),
        )

    def _attributed(self, tenant: str, events: ir.Table, window: int) -> ir.Table:
        """Items of orders by the newest click before them, summed by what that click was on."""
        clicks = events.filter(_.kind == int(FeedbackKind.CLICK), _.customer_id != "")
        clicks = clicks.select(*DIMENSIONS, "customer_id", "item_id", "event_id", click_time=_.time)
        lines = (
            self._lines(tenant)
            .group_by("customer_id", "item_id", "basket_id", "currency")
            .aggregate(amount=_.amount_minor.sum(), line_time=_.time.min())
        )
        joined = clicks.inner_join(lines, ["customer_id", "item_id"]).filter(
            _.line_time >= _.click_time, _.line_time <= _.click_time + window
        )
        newest = joined.mutate(
            place=ibis.row_number().over(
                ibis.window(
                    group_by=[_.customer_id, _.item_id, _.basket_id, _.currency],
                    order_by=[ibis.desc(_.click_time), _.event_id],
                )
            )
        ).filter(_.place == 0)
        return newest.group_by([*DIMENSIONS, "currency"]).aggregate(items=_.count(), amount=_.amount.sum())

    def _within(self, tenant: str, period: Period) -> ir.Table:
        rows = self._feedback(tenant).filter(_.time >= period.start, _.time < period.end)
        if period.placement_id:
            rows = rows.filter(_.placement_id == period.placement_id)
        return rows.mutate(day=(_.time // DAY).cast("int64"))

    def _feedback(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(FEEDBACK), tenant)

    def _lines(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(INTERACTIONS), tenant).filter(_.quantity > 0)


def _explored(events: ir.Table) -> ir.Table:
    """Items of lists with new ones: how often they were seen there, and what came of it."""
    drawn = events.filter(_.recommendation_id.startswith(EXPLORING))
    counted = drawn.group_by("recommendation_id", "item_id").aggregate(
        impressions=(_.kind == 1).sum(),
        clicks=(_.kind == 2).sum(),
        carts=(_.kind == 3).sum(),
        purchases=(_.kind == 4).sum(),
        position=_.position.fill_null(0).max(),
        newest=_.time.max(),
    )
    seen = counted.filter(_.impressions > 0)
    return seen.order_by(ibis.desc("newest"), "recommendation_id", "item_id").limit(EXPLORED_MAX)


def _row(tenant: str, event: Feedback) -> dict[str, Any]:
    origin = event.origin
    return {
        "tenant": tenant,
        "event_id": event.event_id,
        "customer_id": event.customer_id,
        "origin_customer_id": event.customer_id,
        "subject": event.customer_id or event.visitor_id,
        "recommendation_id": event.recommendation_id,
        "item_id": event.item_id,
        "kind": int(event.kind),
        "time": event.time,
        "scenario": origin.scenario,
        "placement_id": origin.placement_id,
        "placement_version": origin.placement_version,
        "experiment_id": origin.experiment_id,
        "variant": origin.variant,
        "position": event.position,
    }
