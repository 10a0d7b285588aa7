"""Models of customers on published data and on a million simulated customers, beside published and plain fits.

``python -m benchmarks.customer_value`` prints a table, with ``--json`` one object a line, with ``--peers=PYTHON`` also
what lifetimes makes of some of the simulated customers (``forecasting_peers.py``). The data lie beside the
checkout (``../shared/data``); without them only the speed is measured.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks import forecasting_peers
from benchmarks.harness import Result, report
from services.common.columnar import open_columnar
from services.forecasting.adapters.lines import ORDER_LINES, ColumnarLines
from services.forecasting.app import Settings
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.preference import PreferenceQuality
from services.forecasting.domain.propensity import Goal, Moment
from services.forecasting.handlers.fit_propensity import moments_until
from services.forecasting.learning.bg_nbd import BgNbdLikelihood, fit_bg_nbd
from services.forecasting.learning.customer_value import PURCHASE_MODELS, Spending, expect, fit_value_model
from services.forecasting.learning.gamma_gamma import fit_gamma_gamma
from services.forecasting.learning.holdout import Agreement, compare
from services.forecasting.learning.maximum_likelihood import maximise
from services.forecasting.learning.preference import ROWS_MAX, examples, measure
from services.forecasting.learning.propensity import fit as fit_trees
from services.forecasting.learning.propensity import quality
from services.forecasting.learning.purchases import FloatArray, IntArray, Purchases, merged, purchases

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
CUSTOMERS, PEER_CUSTOMERS = 1_000_000, 100_000
PUBLISHED_BG_NBD = {"r": 0.2426, "alpha": 4.4135, "a": 0.7929, "b": 2.4258}
PUBLISHED_GAMMA_GAMMA = {"p": 6.249, "q": 3.745, "gamma": 15.448}
RETAIL_UNTIL = int(pd.Timestamp("2011-08-31 23:59:59").timestamp() * 1_000_000)
PUBLISHED_RMSE = {"bg_nbd": 1.608, "pareto_nbd": 1.603}


def days_of(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a customer and day, in order."""
    rows = rows.assign(date=rows["date"].dt.floor("D"))
    return rows.groupby(["customer", "date"])["amount"].sum().reset_index().sort_values("date")


def split(
    days: pd.DataFrame, end: str, later_days: int
) -> tuple[pd.DataFrame, Purchases, Spending, IntArray, FloatArray]:
    """What was known at ``end``, and the orders and revenue of the ``later_days`` after it."""
    last = pd.Timestamp(end)
    known = days[days["date"] <= last].groupby("customer")
    each = known.agg(
        count=("date", "size"), first=("date", "min"), last=("date", "max"), total=("amount", "sum"),
        opening=("amount", "first"),
    )  # fmt: skip
    count = each["count"].to_numpy().astype(np.int64)
    recency = (each["last"] - each["first"]).dt.days.to_numpy().astype(np.int64)
    age = (last - each["first"]).dt.days.to_numpy().astype(np.int64)
    after = days[(days["date"] > last) & (days["date"] <= last + pd.Timedelta(days=later_days))].groupby("customer")
    orders = after.size().reindex(each.index).fillna(0).to_numpy().astype(np.int64)
    revenue = after["amount"].sum().reindex(each.index).fillna(0.0).to_numpy()
    spending = Spending(count, each["total"].to_numpy() / count)
    return each, purchases(count - 1, recency, age), spending, orders, revenue


def cdnow() -> Iterator[Result]:
    """The published tenth of the CDNOW customers: parameters, and 39 weeks ahead."""
    rows = pd.read_parquet(DATA / "cdnow" / "sample.parquet").rename(columns={"customer_id": "customer"})
    each, customers, _, orders, _ = split(days_of(rows), "1997-09-30", 273)
    model, fitted = fit_bg_nbd(customers)
    for name, published in PUBLISHED_BG_NBD.items():
        yield Result(f"cdnow BG/NBD {name}", model.parameters[name], "", published, "published", "within 1e-3")
    yield Result("cdnow BG/NBD log-likelihood", fitted.log_likelihood, "", -9582.43, "published", "within 1e-3")
    again = each[each["count"] > 1]
    repeats = again["count"].to_numpy() - 1
    spent, _ = fit_gamma_gamma(repeats, (again["total"] - again["opening"]).to_numpy() / repeats)
    for name, published in PUBLISHED_GAMMA_GAMMA.items():
        yield Result(f"cdnow Gamma-Gamma {name}", spent.parameters[name], "", published, "published", "ratio 1 +- 1e-3")
    for name, fit in PURCHASE_MODELS.items():
        expected = fit(customers)[0].expected_purchases(customers, 39.0)
        rmse = float(np.sqrt(np.mean((expected - orders) ** 2)))
        bias = 100 * (float(expected.sum()) / float(orders.sum()) - 1)
        peer = PUBLISHED_RMSE.get(name)
        yield Result(f"cdnow {name} holdout RMSE", rmse, "orders", peer, "published" if peer else "", "<= 1.603")
        yield Result(f"cdnow {name} holdout bias", bias, "%", -12.2, "BG/NBD, reproduced", "within 10")


def online_retail() -> Iterator[Result]:
    """Online Retail, 13 weeks after 2011-08-31."""
    columns = ["Quantity", "InvoiceDate", "UnitPrice", "CustomerID"]
    lines = pd.read_parquet(DATA / "online_retail" / "online_retail.parquet", columns=columns).dropna()
    lines["amount"] = lines["Quantity"] * lines["UnitPrice"]
    days = days_of(lines.rename(columns={"CustomerID": "customer", "InvoiceDate": "date"}))
    _, customers, spending, orders, revenue = split(days[days["amount"] > 0], "2011-08-31", 91)
    for name in PURCHASE_MODELS:
        value = fit_value_model(name, customers, spending)
        found = compare(expect(value, customers, spending, 91, 91, 0.0), orders, revenue)
        yield from _ranking(f"online_retail {name}", found)


def propensity() -> Iterator[Result]:
    """Who of Online Retail's customers is lost in the 13 weeks after 2011-08-31, by trees that know nothing of them."""
    with tempfile.TemporaryDirectory() as folder:
        *learnt, held = asyncio.run(_retail_moments(Path(folder)))
    found = quality(0, fit_trees(learnt).probabilities(held.features), held.reached)
    yield Result("online_retail trees churn AUC", found.auc or 0.0, "", 0.731, "BG/NBD, reproduced", ">= .75")
    yield Result("online_retail trees churn Brier", found.brier, "", found.base_brier, "base rate, this run")
    yield Result("online_retail trees churn, mean gap by decile", 100 * found.calibration_error, "points")


async def _retail_moments(folder: Path) -> list[Moment]:
    """The moments to learn from, and behind them the one to foresee."""
    goal = Goal(91, absent=True)
    async with open_columnar(Settings(data_dir=folder), [ORDER_LINES]) as columnar:
        lines = ColumnarLines(columnar)
        await lines.append(order_lines(retail_lines()), "1")
        extent = await lines.extent("t")
        times = moments_until(extent.first_time if extent else 0, RETAIL_UNTIL, goal.horizon)
        return [await lines.moment("t", "GBP", goal, at) for at in (*times, RETAIL_UNTIL)]


def retail_lines() -> pd.DataFrame:
    """What Online Retail's known customers bought; cancellations are left out."""
    rows = pd.read_parquet(DATA / "online_retail" / "online_retail.parquet").dropna(subset=["CustomerID"])
    return rows[(rows["Quantity"] > 0) & (rows["UnitPrice"] > 0)]


def preference() -> Iterator[Result]:
    """Of which product categories the Complete Journey's households buy in their last four weeks."""
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_preference(Path(folder)))
    ours, person, popular = found.rankings
    peers = ((person, "personal frequency, this run"), (popular, "popularity, this run"))
    for name in ("log_loss", "average_precision", "hit_rate", "hit_rate_of_three"):
        for peer, said in peers:
            label = f"complete_journey categories, {name.replace('_', ' ')}"
            yield Result(label, getattr(ours, name), "", getattr(peer, name), said)
    yield Result("complete_journey categories, mean gap by tenth", 100 * found.calibration_error, "points")


async def _preference(folder: Path) -> PreferenceQuality:
    rows, products = (
        pd.read_parquet(DATA / "complete_journey" / f"{it}.parquet") for it in ("transactions", "products")
    )
    rows = rows.merge(products[["product_id", "product_category"]], on="product_id", how="left")
    async with open_columnar(Settings(data_dir=folder), [ORDER_LINES]) as columnar:
        lines, days = ColumnarLines(columnar), 28
        table = _baskets(rows)
        await lines.append(table, "1")
        time = table["time"].to_numpy()
        start = int(time.max()) - days * DAY
        times = moments_until(int(time.min()), start, days * DAY)
        learnt = [examples(await lines.tastes("t", "USD", days, at), days, ROWS_MAX // len(times)) for at in times]
        return measure(start, fit_trees(learnt), await lines.tastes("t", "USD", days, start), days)


def _baskets(rows: pd.DataFrame) -> pa.Table:
    """Products without a category count for none."""
    customer, whole = rows["household_id"].astype(str), pd.Series(0, rows.index)
    columns = {
        "tenant": "t", "message_id": rows["basket_id"].astype(str), "order_id": rows["basket_id"].astype(str),
        "time": rows["transaction_timestamp"].astype("datetime64[us]").astype("int64"), "customer_id": customer,
        "origin_id": customer, "product_id": rows["product_id"].astype(str), "store_id": "", "currency": "USD",
        "category": rows["product_category"].astype(object).fillna("").astype(str), "opens_order": whole,
        "quantity": rows["quantity"].astype(float), "opens_category": whole,
        "amount_minor": (100 * rows["sales_value"]).round().astype("int64"),
    }  # fmt: skip
    columns["list_minor"] = columns["amount_minor"]
    frame = pd.DataFrame(columns, index=rows.index)[ORDER_LINES.schema.names]
    return pa.Table.from_pandas(frame, schema=ORDER_LINES.schema, preserve_index=False)


def order_lines(rows: pd.DataFrame) -> pa.Table:
    """An order's invoice number is its id; products have no categories."""
    customer, whole = rows["CustomerID"].astype(int).astype(str), pd.Series(0, rows.index)
    columns = {
        "tenant": "t", "message_id": rows["InvoiceNo"].astype(str), "order_id": rows["InvoiceNo"].astype(str),
        "time": rows["InvoiceDate"].astype("datetime64[us]").astype("int64"), "customer_id": customer,
        "origin_id": customer, "product_id": rows["StockCode"].astype(str), "category": "", "store_id": "",
        "quantity": rows["Quantity"].astype(float), "currency": "GBP", "opens_order": whole, "opens_category": whole,
        "amount_minor": (100 * rows["Quantity"] * rows["UnitPrice"]).round().astype("int64"),
    }  # fmt: skip
    columns["list_minor"] = columns["amount_minor"]
    frame = pd.DataFrame(columns, index=rows.index)[ORDER_LINES.schema.names]
    return pa.Table.from_pandas(frame, schema=ORDER_LINES.schema, preserve_index=False)


def _ranking(name: str, found: Agreement) -> Iterator[Result]:
    peer = "BG/NBD with shrunk spend, reproduced"
    yield Result(f"{name} revenue Spearman", found.revenue_rank_correlation or 0.0, "", 0.507, peer, ">= .53")
    yield Result(f"{name} churn AUC", found.churn_auc or 0.0, "", 0.731, peer, ">= .75")
    yield Result(f"{name} top-decile share", found.top_decile_revenue_share or 0.0, "", 0.554, peer, ">= .57")
    yield Result(f"{name} churn Brier", found.brier, "")
    yield Result(f"{name} order bias", 100 * (found.order_bias or 0.0), "%")
    gaps = [abs(part.churn_probability - part.churned_share) for part in found.parts]
    yield Result(f"{name} churn, mean gap by decile", 100 * float(np.mean(gaps)), "points")


def simulated(count: int) -> Purchases:
    """Customers with CDNOW's habits, known for 27 to 39 weeks."""
    random = np.random.default_rng(1)
    rate = random.gamma(PUBLISHED_BG_NBD["r"], 1 / PUBLISHED_BG_NBD["alpha"], count) / 7
    stops = random.beta(PUBLISHED_BG_NBD["a"], PUBLISHED_BG_NBD["b"], count)
    age = random.integers(189, 274, count).astype(np.int64)
    moment, recency, frequency = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)
    active = np.arange(count)
    while len(active):
        moment[active] += np.maximum(random.exponential(1 / np.maximum(rate[active], 1e-12)), 1.0)
        active = active[moment[active] <= age[active]]
        frequency[active] += 1
        recency[active] = moment[active]
        active = active[random.random(len(active)) >= stops[active]]
    return purchases(frequency, recency.astype(np.int64), age)


def million() -> Iterator[Result]:
    """The CPU seconds of a fit, with equal customers merged, beside a plain one of the same likelihood, unmerged."""
    customers = simulated(CUSTOMERS)
    began = time.process_time()
    model, fitted = fit_bg_nbd(customers)
    ours = time.process_time() - began
    began = time.process_time()
    plain = maximise(BgNbdLikelihood(customers), np.array([0.5, 5.0, 1.0, 3.0]), float(CUSTOMERS))
    theirs = time.process_time() - began
    began = time.process_time()
    model.expected_purchases(customers, 13.0)
    model.probability_of_purchase(customers, 13.0)
    predicted = time.process_time() - began
    yield Result("BG/NBD, a million customers, fit", ours, "CPU s", theirs, "unmerged, this run", "<= 2 s")
    likelihood = fitted.log_likelihood
    yield Result("... log-likelihood", likelihood, "", plain.log_likelihood, "unmerged, this run", "equal")
    yield Result("... rows once merged", float(len(merged(customers))), "", float(CUSTOMERS), "customers")
    yield Result("... orders and churn of each", predicted, "CPU s")
    yield from _beside_lifetimes(customers.every(CUSTOMERS // PEER_CUSTOMERS))


def _beside_lifetimes(customers: Purchases) -> Iterator[Result]:
    said = forecasting_peers.bg_nbd(customers.repeats, *customers.weeks())
    if said is None:
        return
    theirs, seconds = said
    began = time.process_time()
    _, fitted = fit_bg_nbd(customers)
    ours = time.process_time() - began
    likelihood, _ = BgNbdLikelihood(customers)(theirs)
    yield Result(f"BG/NBD, {len(customers)} of them, fit", ours, "CPU s", seconds, "lifetimes, this run")
    yield Result("... log-likelihood", fitted.log_likelihood, "", likelihood, "lifetimes, this run", "equal")


def results() -> Iterator[Result]:
    """Everything that can be measured here."""
    yield from million()
    if (DATA / "cdnow").exists():
        yield from cdnow()
    if (DATA / "online_retail").exists():
        yield from online_retail()
        yield from propensity()
    if (DATA / "complete_journey").exists():
        yield from preference()


if __name__ == "__main__":
    report("Customer value", list(results()))
