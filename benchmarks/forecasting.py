"""Forecast errors and speed on real series, beside the methods that everyone compares with, in one run.

``python -m benchmarks.forecasting`` prints a table, with ``--json`` one object a line; names of rows (``walmart``,
``cdnow``, ``daily_speed``, ...) choose some, as does ``--only=ROW``. ``--sample=9`` takes every ninth store or series
of the large panels, ``--held-out=42`` sets their ends so many periods earlier, to tune on, ``--without-network``
leaves the neural network out, ``--ahead=13`` forecasts so many of Walmart's weeks. ``--series=1000`` and
``--peer-series=30``: how many daily series, and how many of them the peer gets; ``--worlds=5``: how many simulated
markets. ``--peers=PYTHON`` also measures libraries in an environment of their own (``forecasting_peers.py``). The data
lie beside the checkout (``../shared/data``); what is not there is skipped.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1.profiles_service_pb2 import Change, FollowChangesResponse, RecordedEvent

from benchmarks import customer_methods, customer_value, forecasting_peers, media_mix, uplift
from benchmarks.coverage import noise
from benchmarks.forecasting_panels import WALMART_AHEAD, Task, m4, rossmann, walmart
from benchmarks.harness import Result
from services.common.columnar import open_columnar
from services.forecasting.adapters.events import order_lines
from services.forecasting.adapters.events.activities import activities
from services.forecasting.adapters.lines import SERIES_TABLES, ColumnarLines
from services.forecasting.app import Settings
from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.seasons import calendar_features
from services.forecasting.learning.accuracy import seasonal_change, symmetric_errors
from services.forecasting.learning.baselines import seasonal_naive
from services.forecasting.learning.histories import FloatArray, side_by_side
from services.forecasting.learning.known_ahead import Learners
from services.forecasting.learning.network import NetworkFitting
from services.forecasting.learning.panel import SeriesForecast, forecast_panel
from services.forecasting.learning.seasonality import find_season
from services.forecasting.learning.theta import theta

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
PERIODS = {"YEARLY": 1, "QUARTERLY": 4, "MONTHLY": 12, "OTHER": 1}
PUBLISHED_THETA, PUBLISHED_NAIVE2 = 13.07, 15.46
WEEKS_AHEAD = 8
DAYS, DAYS_AHEAD = 728, 28


def result(name: str, ours: float, peer: float, peer_name: str, unit: str, goal: str) -> Result:
    """A figure beside a peer's, rounded for reading."""
    return Result(name, round(ours, 4), unit, round(peer, 4), peer_name, goal)


def m3() -> Iterator[Result]:
    """All 3,003 series of the M3 competition: sMAPE over all forecasts, and the coverage of the intervals."""
    meta = pd.read_parquet(DATA / "m3" / "meta.parquet")
    rows = pd.read_parquet(DATA / "m3" / "series.parquet").astype({"id": str})
    past = {name: group.to_numpy() for name, group in rows[~rows["is_test"]].groupby("id")["y"]}
    future = {name: group.to_numpy() for name, group in rows[rows["is_test"]].groupby("id")["y"]}
    collected: dict[str, list[FloatArray]] = {name: [] for name in ("ours", "theta", "naive2", "held80", "held95")}
    began = time.process_time()
    for category, group in meta.groupby("period"):
        names = group["id"].tolist()
        _m3_category(
            [past[name] for name in names],
            np.stack([future[name] for name in names]),
            PERIODS[str(category)],
            collected,
        )
    seconds = time.process_time() - began
    ours, own_theta, naive2, held80, held95 = (float(np.concatenate(cells).mean()) for cells in collected.values())
    yield result("m3 sMAPE", ours, PUBLISHED_THETA, "Theta, published", "%", "<= 12.9")
    yield result("m3 sMAPE", ours, own_theta, "Theta, this run", "%", "<= 1.0 times")
    yield result("m3 sMAPE", ours, PUBLISHED_NAIVE2, "Naive2, published", "%", "<= 0.9 times")
    yield result("m3 sMAPE", ours, naive2, "Naive2, this run", "%", "<= 0.9 times")
    yield result("m3 coverage of 80 % intervals", 100 * held80, 80.0, "nominal", "%", "80 +- 2")
    yield result("m3 coverage of 95 % intervals", 100 * held95, 95.0, "nominal", "%", "95 +- 2")
    yield result("m3 series forecast with backtest", len(meta) / seconds, 20.0, "one core, budget", "series/s", ">= 20")


def _m3_category(
    past: list[FloatArray], future: FloatArray, period: int, collected: dict[str, list[FloatArray]]
) -> None:
    horizon = future.shape[1]
    found = forecast_panel(past, period, horizon).series
    histories, places = side_by_side(past)
    season = find_season(histories, period)
    adjusted = season.adjust(histories)
    last = np.repeat(adjusted.values[-1][:, None], horizon, axis=1)
    collected["ours"].append(symmetric_errors(np.stack([it.points for it in found]), future).ravel())
    collected["theta"].append(symmetric_errors(season.restore(theta(adjusted, horizon))[places], future).ravel())
    collected["naive2"].append(symmetric_errors(season.restore(last)[places], future).ravel())
    for level in (80, 95):
        collected[f"held{level}"].append(held(found, future, level).ravel())


def held(found: list[SeriesForecast], actual: FloatArray, level: int) -> FloatArray:
    """By series and step: 1 where the interval of ``level`` held what came."""
    inside = [
        np.abs(came - it.points) <= it.scale * it.quantiles[level - 1] for it, came in zip(found, actual, strict=True)
    ]
    return np.array(inside, dtype=np.float64)


def retailer() -> Iterator[Result]:
    """Sales of the Complete Journey in total and by department, the last eight weeks held out."""
    daily = daily_sales()
    # The first week holds only a Sunday.
    weekly = daily.resample("W-MON", label="left", closed="left").sum().iloc[1:]
    yield from _held_out("weekly", weekly, Granularity.WEEK, 1, WEEKS_AHEAD)
    yield from _held_out("daily", daily, Granularity.DAY, 7, 7 * WEEKS_AHEAD)


def daily_sales() -> pd.DataFrame:
    """Sales of the Complete Journey by day, a column for each department and one for all."""
    folder = DATA / "complete_journey"
    lines = pd.read_parquet(
        folder / "transactions.parquet", columns=["product_id", "sales_value", "transaction_timestamp"]
    )
    lines = lines.merge(
        pd.read_parquet(folder / "products.parquet", columns=["product_id", "department"]), on="product_id", how="left"
    )
    lines["department"] = lines["department"].astype(object).where(lines["department"].notna(), "")
    day = lines["transaction_timestamp"].dt.floor("D")
    daily = lines.pivot_table(index=day, columns="department", values="sales_value", aggfunc="sum", fill_value=0.0)
    daily = daily.reindex(pd.date_range("2017-01-01", "2017-12-31"), fill_value=0.0)
    return daily.assign(TOTAL=daily.sum(axis=1))


def _held_out(name: str, sales: pd.DataFrame, granularity: Granularity, period: int, horizon: int) -> Iterator[Result]:
    train, test = sales.iloc[:-horizon], sales.iloc[-horizon:]
    names = [column for column in sales if train[column].any() and (train[column] > 0).sum() > 1]
    series = [_from_first_sale(train[column].to_numpy(dtype=np.float64)) for column in names]
    actual = test[names].to_numpy(dtype=np.float64).T
    calendar = calendar_features(granularity, [stamp.to_pydatetime() for stamp in sales.index])
    began = time.process_time()
    found = forecast_panel(series, period, horizon, calendar).series
    seconds = time.process_time() - began
    histories, places = side_by_side(series)
    naive = seasonal_naive(histories, period, horizon)[places]
    scale = np.array([seasonal_change(one, period) for one in series])[:, None]
    ours = np.abs(np.stack([it.points for it in found]) - actual)
    theirs = np.abs(naive - actual)
    peer = "seasonal naive"
    yield result(
        f"{name} sales, MASE over departments",
        (ours / scale).mean(),
        (theirs / scale).mean(),
        peer,
        "MASE",
        "<= 0.9 times",
    )
    yield result(
        f"{name} sales, WAPE", ours.sum() / actual.sum(), theirs.sum() / actual.sum(), peer, "share", "<= 0.9 times"
    )
    if (said := forecasting_peers.auto_ets(series, period, horizon)) is not None:
        for peer, forecasts in (("AutoETS", said[0]), ("mean of AutoETS and seasonal naive", (said[0] + naive) / 2)):
            other = (np.abs(forecasts - actual) / scale).mean()
            yield result(
                f"{name} sales, MASE over departments", (ours / scale).mean(), other, peer, "MASE", "< 1 times"
            )
    for level in (80, 95):
        inside = held(found, actual, level)
        goal = f"{level} +- 2 ({noise([(inside, np.ones_like(inside))]):.1f})"
        yield result(
            f"{name} sales, coverage of {level} % intervals", 100 * inside.mean(), float(level), "nominal", "%", goal
        )
    yield result(f"{name} sales, time to fit {len(series)} series", seconds, 5.0, "one core, budget", "s", "<= 5")


def _from_first_sale(figures: FloatArray) -> FloatArray:
    return figures[int(np.flatnonzero(figures)[0]) :]


def daily_speed() -> Iterator[Result]:
    """Days of two years and four weeks ahead, simulated: series a second and errors beside AutoETS on some of them."""
    count, beside = option("series", 1000), option("peer-series", 30)
    past, future = np.split(_days(count, DAYS + DAYS_AHEAD), [DAYS], axis=1)
    began = time.process_time()
    found = forecast_panel(list(past), 7, DAYS_AHEAD).series
    rate = count / (time.process_time() - began)
    yield result(f"{count} daily series of {DAYS}, with backtest", rate, 77.0, "before, one core", "series/s", ">= 420")
    said = forecasting_peers.auto_ets(list(past[:beside]), 7, DAYS_AHEAD)
    if said is None:
        return
    theirs, seconds = said
    peer = f"AutoETS on {beside} of them"
    yield result("... beside AutoETS", rate, beside / seconds, peer, "series/s", ">= 100 times")
    scale = np.abs(past[:beside, 7:] - past[:beside, :-7]).mean(axis=1, keepdims=True)
    ours, other = (
        float((np.abs(it - future[:beside]) / scale).mean())
        for it in (np.stack([one.points for one in found[:beside]]), theirs)
    )
    yield result("... error of both on the same", ours, other, peer, "MASE", "<= 1.01 times")


def _days(count: int, length: int) -> FloatArray:
    """Sales of shops: a level that wanders, a week that differs by shop, and noise."""
    random = np.random.default_rng(1)
    week = np.exp(random.normal(0, 0.3, (count, 7)))[:, np.arange(length) % 7]
    level = np.exp(random.normal(6, 1, (count, 1)) + np.cumsum(random.normal(0, 0.01, (count, length)), axis=1))
    return level * week * random.gamma(20.0, 0.05, (count, length))


def following() -> Iterator[Result]:
    """How fast orders of 9 lines go from the feed's messages into the table, in batches of 1,000."""
    products = [
        {"product_id": str(rank), "price": 2.5, "quantity": 1, "total": 2.5, "category": f"C{rank % 4}"}
        for rank in range(9)
    ]
    changes = [
        Change(
            tenant_id="acme",
            event_recorded=RecordedEvent(
                message_id=f"m{number}",
                name="Order Completed",
                customer_id=f"c{number % 900}",
                event_time=Timestamp(seconds=1_700_000_000 + 60 * number),
                properties_json=json.dumps({"order_id": f"o{number}", "currency": "USD", "products": products}),
            ),
        )
        for number in range(20_000)
    ]
    batches = [
        FollowChangesResponse(changes=changes[at : at + 1000], cursor=str(at + 1))
        for at in range(0, len(changes), 1000)
    ]
    wire = [batch.SerializeToString() for batch in batches]
    began = time.process_time()
    asyncio.run(_follow(wire))
    rate = len(changes) / (time.process_time() - began)
    yield result("orders followed", rate, 5000.0, "one core, budget", "orders/s", ">= 5000")


async def _follow(wire: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_columnar(Settings(TESSERA_DATA_DIR=folder), SERIES_TABLES) as columnar:
            lines = ColumnarLines(columnar)
            for message in wire:
                batch = FollowChangesResponse.FromString(message)
                seen = activities(batch.changes)
                await lines.append(order_lines(batch.changes), batch.cursor, activities=seen)


def panel(name: str, task: Task, unit: str, peer: float, peer_name: str, goal: str) -> Iterator[Result]:
    """A large panel: our score beside a peer's and that of a naive forecast in this run, and the coverage."""
    began = time.process_time()
    learners = Learners(network=None if "--without-network" in sys.argv else NetworkFitting())
    steps = task.actual.shape[1]
    found = forecast_panel(task.series, task.period, steps, task.calendar, known=task.known, learners=learners).series
    seconds = time.process_time() - began
    ours = task.score(np.stack([it.points for it in found]))
    yield result(name, ours, peer, peer_name, unit, goal)
    yield result(name, ours, task.score(task.naive), "naive, this run", unit, "< 1 times")
    for level in (80, 95):
        inside, counted = held(found, task.actual, level), task.counted > 0
        share, goal = (
            100 * inside[counted].mean(),
            f"{level} +- 2 ({noise([(inside, counted.astype(np.float64))]):.1f})",
        )
        yield result(f"{name}, coverage of {level} % intervals", share, float(level), "nominal", "%", goal)
    yield result(f"{name}, series forecast", len(found) / seconds, 1.0, "one core", "series/s", "-")
    shares: dict[str, float] = {}
    for it in found:
        for method, weight in it.weights.items():
            shares[method] = shares.get(method, 0.0) + weight / len(found)
    print("# " + ", ".join(f"{method} {100 * share:.0f} %" for method, share in shares.items()), file=sys.stderr)


def option(name: str, default: int) -> int:
    """The number that was asked for as ``--name=``."""
    return next((int(it.partition("=")[2]) for it in sys.argv if it.startswith(f"--{name}=")), default)


def panels() -> dict[str, Callable[[], Iterator[Result]]]:
    """The large panels by name."""
    sample, held_out = option("sample", 1), option("held-out", 0)
    return {
        "walmart": lambda: panel(
            "walmart WMAE",
            walmart(sample, held_out, option("ahead", WALMART_AHEAD)),
            "dollars",
            1799,
            "last year, published",
            "<= 1480",
        ),
        "rossmann": lambda: panel(
            "rossmann RMSPE", rossmann(sample, held_out), "share", 0.132, "boosting, other weeks", "<= .12"
        ),
        "m4_weekly": lambda: panel("m4 weekly OWA", m4("weekly", sample, held_out), "OWA", 0.796, "FFORMA", "<= .78"),
        "m4_hourly": lambda: panel("m4 hourly OWA", m4("hourly", sample, held_out), "OWA", 0.440, "ES-RNN", "<= .45"),
    }


def customers() -> dict[str, Callable[[], Iterator[Result]]]:
    """The models of customers and of media by name; each is also a benchmark of its own."""
    return {
        "cdnow": customer_value.cdnow,
        "online_retail": lambda: chain(
            customer_value.online_retail(), customer_value.propensity(), customer_methods.methods()
        ),
        "hillstrom": uplift.results,
        "customers_speed": customer_value.million,
        "media_mix": partial(media_mix.measured, 183, 156, 36, option("worlds", 5)),
    }


FOLDERS = {"m4_weekly": "m4_weekly_hourly", "m4_hourly": "m4_weekly_hourly"}
SIMULATED = ("following", "daily_speed", "customers_speed", "media_mix")


def results() -> Iterator[Result]:
    """Everything that was asked for; all, if nothing was."""
    series = {"following": following, "daily_speed": daily_speed, "complete_journey": retailer, "m3": m3}
    rows = series | panels() | customers()
    asked = [it.removeprefix("--only=") for it in sys.argv[1:] if it.startswith("--only=") or not it.startswith("-")]
    if unknown := set(asked) - set(rows):
        sys.exit(f"no rows are called {', '.join(sorted(unknown))}; there are {', '.join(rows)}")
    for name in asked or rows:
        if name not in SIMULATED and not (DATA / FOLDERS.get(name, name)).exists():
            print(f"# skipped: {name}, as {DATA / FOLDERS.get(name, name)} is not here", file=sys.stderr)
            continue
        yield from rows[name]()


def main() -> None:
    """Print the results as they come."""
    as_json = "--json" in sys.argv
    if not as_json:
        print(f"{'what':48} {'ours':>10} {'peer':>10} {'ratio':>7}  {'unit':9} {'goal':13} peer's name")
    for it in results():
        if as_json:
            print(json.dumps({**asdict(it), "ratio": it.ratio}), flush=True)
        else:
            peer = f"{it.peer:10.4g} {it.ratio or 0:7.3f}" if it.peer is not None else 18 * " "
            print(f"{it.name:48} {it.ours:10.4g} {peer}  {it.unit:9} {it.goal:13} {it.peer_name}", flush=True)


if __name__ == "__main__":
    main()
