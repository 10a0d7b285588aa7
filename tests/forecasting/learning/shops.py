"""Customers of known habits, and customers of shops whose fits are published."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from services.forecasting.learning.customer_value import Spending
from services.forecasting.learning.purchases import FloatArray, IntArray, Purchases, purchases


@dataclass(frozen=True)
class Shop:
    """What customers did up to a day, and after it."""

    rows: Purchases
    spending: Spending
    repeat_spending: Spending
    """Of the repeat purchases alone, as in the papers; customers without one are left out."""
    later_orders: IntArray
    later_revenue: FloatArray


def shop(days: pd.DataFrame, end: str, later_days: int) -> Shop:
    """``days`` has one row a purchase: customer, date and amount."""
    last = pd.Timestamp(end)
    known = days[days["date"] <= last].sort_values("date").groupby("customer")
    each = known.agg(
        count=("date", "size"), first=("date", "min"), last=("date", "max"), total=("amount", "sum"),
        opening=("amount", "first"),
    )  # fmt: skip
    after = days[(days["date"] > last) & (days["date"] <= last + pd.Timedelta(days=later_days))].groupby("customer")
    again = each[each["count"] > 1]
    repeats = (again["count"] - 1).to_numpy().astype(np.int64)
    return Shop(
        purchases(
            each["count"].to_numpy().astype(np.int64) - 1,
            (each["last"] - each["first"]).dt.days.to_numpy().astype(np.int64),
            (last - each["first"]).dt.days.to_numpy().astype(np.int64),
        ),
        Spending(each["count"].to_numpy(), (each["total"] / each["count"]).to_numpy()),
        Spending(repeats, (again["total"] - again["opening"]).to_numpy() / repeats),
        after.size().reindex(each.index).fillna(0).to_numpy().astype(np.int64),
        after["amount"].sum().reindex(each.index).fillna(0.0).to_numpy(),
    )


def cdnow(folder: Path) -> Shop:
    """The tenth of the customers that the papers use, 39 weeks after 39 weeks."""
    rows = pd.read_parquet(folder / "sample.parquet").rename(columns={"customer_id": "customer"})
    rows["date"] = rows["date"].dt.floor("D")
    return shop(rows.groupby(["customer", "date"])["amount"].sum().reset_index(), "1997-09-30", 273)


def online_retail(folder: Path) -> Shop:
    """Thirteen weeks after nine months; cancellations count against the day's amount."""
    columns = ["Quantity", "InvoiceDate", "UnitPrice", "CustomerID"]
    lines = pd.read_parquet(folder / "online_retail.parquet", columns=columns).dropna()
    lines = pd.DataFrame(
        {
            "customer": lines["CustomerID"],
            "date": lines["InvoiceDate"].dt.floor("D"),
            "amount": lines["Quantity"] * lines["UnitPrice"],
        }
    )
    days = lines.groupby(["customer", "date"])["amount"].sum().reset_index()
    return shop(days[days["amount"] > 0], "2011-08-31", 91)


def simulated(
    count: int, parameters: tuple[float, float, float, float], days: int, seed: int, chances_before: int = 0
) -> Purchases:
    """Customers of BG/NBD with these parameters, known for 30 days up to ``days``."""
    random = np.random.default_rng(seed)
    r, alpha, a, b = parameters
    rate = random.gamma(r, 1 / alpha, count) / 7
    stops = random.beta(a, b, count)
    age = random.integers(30, days + 1, count).astype(np.int64)
    time, frequency, recency = np.zeros(count), np.zeros(count, dtype=np.int64), np.zeros(count)
    active = np.flatnonzero(random.random(count) >= stops) if chances_before else np.arange(count)
    while len(active):
        time[active] += random.exponential(1 / np.maximum(rate[active], 1e-12))
        active = active[time[active] <= age[active]]
        frequency[active] += 1
        recency[active] = time[active]
        active = active[random.random(len(active)) >= stops[active]]
    return purchases(frequency, np.floor(recency).astype(np.int64), age)
