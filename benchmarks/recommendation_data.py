"""The data sets that recommendation is measured on, as purchases before and truths after."""

import importlib.util
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.learning.content import Described
from services.recommendation.learning.purchases import Purchases

DATA = Path(__file__).parents[2] / "shared" / "data"
DIGINETICA_DAYS = 145.0
"""From January to the week before the test."""
DAYS_A_CLICK = 1 / 1440
DAYS_A_STEP = 7.0
"""What one basket before the last is taken to be, where data have an order and no times."""


class Absent(Exception):
    """The data are not here; the message says how to get them."""


@dataclass(frozen=True, slots=True)
class Task:
    """Purchases to learn from, and for each customer what came next; customers without it are not judged."""

    train: Purchases
    truth: sparse.csr_array


def gowalla() -> Task:
    """LightGCN's split: no times, a customer is one basket."""
    train, test = (_read(f"gowalla/{name}.parquet") for name in ("train", "test"))
    shape = 29_858, 40_981
    customers, items = (train[name].to_numpy(np.int32) for name in ("user", "item"))
    return Task(_purchases(customers, customers, items, np.zeros(len(items)), shape), _matrix(test, shape))


def part_of(task: Task, share: float, seed: int) -> Task:
    """A split of the training part alone, to choose on."""
    train = task.train
    held = np.random.default_rng(seed).random(len(train)) < share
    kept = _purchases(
        train.customers[~held], train.baskets[~held], train.items[~held], train.ages_days[~held], task.truth.shape
    )
    return Task(kept, _cells(train.customers[held], train.items[held], task.truth.shape))


def movielens(seed: int, choosing: bool = False) -> Task:
    """MovieLens-100k from inside the wheel of recbole, 70 / 10 / 20 by chance. ``choosing``: the 70, to be judged on
    the 10; otherwise the 80 are learnt from, as the published figures are made."""
    folder = Path(os.environ.get("TESSERA_BENCHMARK_CACHE", "~/.cache/tessera-benchmarks")).expanduser()
    wheels = sorted(folder.glob("recbole-*.whl"))
    if not wheels:
        raise Absent(f"MovieLens-100k is not here: pip download --no-deps --dest {folder} recbole")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        text = wheel.read("recbole/dataset_example/ml-100k/ml-100k.inter")
    frame = pd.read_csv(io.BytesIO(text), sep="\t")
    customers, items = (
        np.unique(frame[name], return_inverse=True)[1].astype(np.int32) for name in ("user_id:token", "item_id:token")
    )
    shape = int(customers.max()) + 1, int(items.max()) + 1
    order = np.random.default_rng(seed).permutation(len(items))
    train, held, test = np.split(order, [int(0.7 * len(order)), int(0.8 * len(order))])
    train, test = (train, held) if choosing else (np.concatenate([train, held]), test)
    learnt = _purchases(customers[train], customers[train], items[train], np.zeros(len(train)), shape)
    return Task(learnt, _cells(customers[test], items[test], shape))


def amazon(name: str, last: int) -> Task:
    """Every item of a sequence is a basket; ``last`` is 1 to hold out the last one, 2 for the one before it."""
    frame = _read(f"amazon_seq/{name}.parquet").sort_values(["user", "pos"])
    customers, items = _codes(frame["user"]), _codes(frame["item"])
    place = frame.groupby("user").cumcount(ascending=False).to_numpy() + 1
    shape = int(customers.max()) + 1, int(items.max()) + 1
    train = place > last
    baskets = np.arange(int(train.sum()), dtype=np.int32)
    ages = (place[train] - last) * DAYS_A_STEP
    return Task(
        _purchases(customers[train], baskets, items[train], ages, shape),
        _cells(customers[place == last], items[place == last], shape),
    )


def tafeng(last: int) -> Task:
    """The last basket but ``last - 1`` is the truth."""
    frame = _read("tafeng_nbr/baskets.parquet")
    customers, items = _codes(frame["user"]), _codes(frame["item"])
    newest = frame.groupby("user")["basket_no"].transform("max").to_numpy()
    place = newest - frame["basket_no"].to_numpy() + 1
    baskets = np.unique(customers.astype(np.int64) * 1000 + place, return_inverse=True)[1].astype(np.int32)
    shape = int(customers.max()) + 1, int(items.max()) + 1
    train = place > last
    ages = (place[train] - last) * DAYS_A_STEP
    return Task(
        _purchases(customers[train], baskets[train], items[train], ages, shape),
        _cells(customers[place == last], items[place == last], shape),
    )


def diginetica() -> tuple[Purchases, list[NDArray[np.int64]], NDArray[np.int64]]:
    """Sessions to learn from, in which every click is a basket; the prefixes of the test and what came after each.

    Sessions are in the order of time, without times: they are taken to be spread evenly over ``DIGINETICA_DAYS``.
    """
    frame = _read("sessions_diginetica/train.parquet")
    test = _read("sessions_diginetica/test_prefixes.parquet")
    prefixes = [np.asarray(prefix, dtype=np.int64) for prefix in test["prefix"]]
    targets = test["target"].to_numpy(np.int64)
    items = frame["item"].to_numpy(np.int32)
    count = int(max(items.max(), targets.max(), max(int(prefix.max()) for prefix in prefixes))) + 1
    sessions = _codes(frame["session"])
    shape = int(sessions.max()) + 1, count
    later_clicks = frame.groupby("session").cumcount(ascending=False).to_numpy()
    ages = (shape[0] - 1 - sessions) * (DIGINETICA_DAYS / shape[0]) + later_clicks * DAYS_A_CLICK
    return _purchases(sessions, np.arange(len(items), dtype=np.int32), items, ages, shape), prefixes, targets


def newest_sessions(purchases: Purchases, count: int) -> tuple[Purchases, list[NDArray[np.int64]], NDArray[np.int64]]:
    """All but the newest sessions to learn from, and the prefixes of those with what came after each."""
    first = purchases.customer_count - count
    kept = purchases.customers < first
    earlier = _purchases(
        purchases.customers[kept], purchases.baskets[kept], purchases.items[kept],
        purchases.ages_days[kept] - purchases.ages_days[kept].min(),
        (first, purchases.item_count),
    )  # fmt: skip
    prefixes, targets = [], []
    held = purchases.items[~kept].astype(np.int64)
    for session in np.split(held, np.flatnonzero(np.diff(purchases.customers[~kept])) + 1):
        prefixes += [session[:length] for length in range(1, len(session))]
        targets += session[1:].tolist()
    return earlier, prefixes, np.array(targets, dtype=np.int64)


def complete_journey() -> Purchases:
    """A grocer's year."""
    lines = _read("complete_journey/transactions.parquet")
    lines = lines[lines["quantity"] > 0]
    times = lines["transaction_timestamp"]
    ages = (times.max() - times).dt.total_seconds().to_numpy() / 86_400
    customers, baskets, items = (_codes(lines[name]) for name in ("household_id", "basket_id", "product_id"))
    return _purchases(customers, baskets, items, ages, (int(customers.max()) + 1, int(items.max()) + 1)).distinct()


def complete_journey_described() -> tuple[Purchases, list[Described]]:
    """The same purchases, and what is written of each product."""
    product_ids = np.unique(
        _read("complete_journey/transactions.parquet").query("quantity > 0")["product_id"].to_numpy()
    )
    return complete_journey(), described_products(_read("complete_journey/products.parquet"), product_ids)


def described_products(products: pd.DataFrame, product_ids: NDArray[np.int64]) -> list[Described]:
    """Products as a catalogue would have them."""
    frame = products.set_index("product_id").reindex(product_ids).astype(object)
    frame = frame.where(frame.notna(), "")
    columns = ("product_type", "department", "product_category", "brand", "manufacturer_id", "package_size")
    return [
        Described(str(product_id), str(title), (str(department), str(category)), str(brand),
                  {"manufacturer": str(maker), "size": str(size)})
        for product_id, title, department, category, brand, maker, size in zip(
            product_ids, *(frame[column] for column in columns), strict=True)
    ]  # fmt: skip


def has(library: str) -> bool:
    """Whether a peer can be imported."""
    return importlib.util.find_spec(library) is not None


def _read(path: str) -> pd.DataFrame:
    if not (DATA / path).exists():
        raise Absent(f"{DATA / path} is not here")
    return pd.read_parquet(DATA / path)


def _codes(column: pd.Series) -> NDArray[np.int32]:
    return np.unique(column.to_numpy(), return_inverse=True)[1].astype(np.int32)


def _purchases(
    customers: NDArray[np.int32],
    baskets: NDArray[np.int32],
    items: NDArray[np.int32],
    ages: NDArray[np.floating],
    shape: tuple[int, int],
) -> Purchases:
    basket_count = int(baskets.max()) + 1
    return Purchases(customers, baskets, items, ages.astype(np.float32), shape[0], basket_count, shape[1])


def _matrix(frame: pd.DataFrame, shape: tuple[int, int]) -> sparse.csr_array:
    return _cells(frame["user"].to_numpy(np.int32), frame["item"].to_numpy(np.int32), shape)


def _cells(rows: NDArray[np.int32], columns: NDArray[np.int32], shape: tuple[int, int]) -> sparse.csr_array:
    matrix = sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def rows_of(matrix: sparse.csr_array) -> Iterator[NDArray[np.int64]]:
    """The columns of each row."""
    for first, end in zip(matrix.indptr, matrix.indptr[1:], strict=False):
        yield matrix.indices[first:end].astype(np.int64)
