"""The process that trains: ``python -m services.recommendation.adapters.training_process FOLDER``.

A process of its own, because training keeps cores and the interpreter busy for seconds and torch takes hundreds of
megabytes; the server never imports it. It reads ``purchases.arrow`` and ``order.json`` in the folder, prints its
progress as JSON lines, and leaves the model in ``model``.
"""

import os
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MICROS_A_DAY = 86_400_000_000
NICENESS = 5
"""Answers come before training where both want a core."""


class Order(msgspec.Struct):
    """What to train."""

    model_version: str
    dimensions: int
    half_life_days: float
    min_basket_count: int
    position: int


class Step(msgspec.Struct):
    """One line of progress."""

    share: float
    message: str


def main(folder: Path) -> None:
    """Train as ordered."""
    os.nice(NICENESS)
    began = time.monotonic()
    order = msgspec.json.decode((folder / "order.json").read_bytes(), type=Order)
    with pa.memory_map(str(folder / "purchases.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
        _train(folder, order, table, began)


def _train(folder: Path, order: Order, table: pa.Table, began: float) -> None:
    _report(0.05, "reading the purchases")
    # Imported late, so that the first line of progress does not wait for it.
    import torch

    from services.recommendation.adapters import snapshots
    from services.recommendation.domain.model import Model, Training
    from services.recommendation.learning.purchases import Purchases
    from services.recommendation.learning.spectral import Spectral
    from services.recommendation.learning.training import train

    torch.set_num_threads(max(1, min(len(os.sched_getaffinity(0)), 4)))
    (customers, customer_ids), (baskets, basket_ids), (items, item_ids) = (
        _codes(table[name]) for name in ("customer_id", "basket_id", "item_id")
    )
    times = table["time"].to_numpy()
    newest = int(times.max())
    ages = ((newest - times) / MICROS_A_DAY).astype(np.float32)
    purchases = Purchases(customers, baskets, items, ages, len(customer_ids), len(basket_ids), len(item_ids))
    algorithm = Spectral(order.dimensions, order.half_life_days)
    learnt = train(purchases, algorithm, order.half_life_days, order.min_basket_count, _report)
    training = Training(
        model_version=order.model_version,
        algorithm=algorithm.name,
        create_time=time.time_ns() // 1000,
        train_micros=int((time.monotonic() - began) * 1_000_000),
        position=order.position,
        newest_time=newest,
        half_life_days=order.half_life_days,
        min_basket_count=order.min_basket_count,
        frequency_share=learnt.validation.frequency_share,
        dimensions_asked=order.dimensions,
        dimensions=learnt.embedding.target.shape[1],
        interaction_count=len(purchases),
        customer_count=len(customer_ids),
        basket_count=len(basket_ids),
        item_count=len(item_ids),
        metrics=learnt.validation.metrics,
    )
    histories, pairs = learnt.histories, learnt.associations
    model = Model(
        training=training,
        item_ids=item_ids,
        customer_ids=customer_ids,
        context=learnt.embedding.context,
        target=learnt.embedding.target,
        likeness=learnt.embedding.likeness,
        recent_buyers=learnt.recent_buyers,
        history_starts=histories.starts,
        history_items=histories.items,
        history_weights=histories.weights,
        history_baskets=histories.baskets,
        pair_starts=pairs.starts,
        pair_items=pairs.partners,
        pair_baskets=pairs.together,
        item_baskets=pairs.baskets,
    )
    snapshots.write(model, folder / "model")
    _report(1.0, "done")


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    """The column as codes, and the names in the order of their codes: sorted, so that equal data gives equal codes."""
    encoded = column.combine_chunks().dictionary_encode()
    names = encoded.dictionary
    order = pc.sort_indices(names).to_numpy()
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[encoded.indices.to_numpy()], names.take(pa.array(order)).to_pylist()


def _report(share: float, message: str) -> None:
    sys.stdout.write(msgspec.json.encode(Step(share, message)).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
