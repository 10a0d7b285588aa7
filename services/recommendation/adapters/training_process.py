"""The process that trains: ``python -m services.recommendation.adapters.training_process FOLDER``.

A process of its own, because training keeps cores and the interpreter busy for seconds and torch takes hundreds of
megabytes; the server never imports it. It reads ``purchases.arrow``, ``signals.arrow`` and ``order.json`` in the
folder, prints its progress as JSON lines, and leaves the model in ``model``.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

if TYPE_CHECKING:  # imported late, so that the first line of progress does not wait for torch
    from scipy import sparse

    from services.recommendation.domain.model import Training
    from services.recommendation.domain.signals import FeedbackWeights
    from services.recommendation.learning.algorithm import Embedding
    from services.recommendation.learning.purchases import Purchases
    from services.recommendation.learning.selection import Incumbent, Wanted
    from services.recommendation.learning.training import Learnt

ITEMS_FILE, PURCHASES_FILE, SIGNALS_FILE = "items.jsonl", "purchases.arrow", "signals.arrow"
MICROS_A_DAY = 86_400_000_000
NICENESS = 5
"""Answers come before training where both want a core."""


class Order(msgspec.Struct):
    """What to train."""

    model_version: str
    dimensions: int
    half_life_days: float
    min_basket_count: int
    cpu_seconds: float
    position: int
    encoder: str = ""
    """What turns texts into features, as ``module:class``; empty for the usual one."""
    usual_half_life_days: float = 0.0
    """The tenant's setting, where the order leaves the half-life open; 0 where that does too."""
    feedback: tuple[float, float, float] | None = None
    """The tenant's setting: what a view and a cart count, and after how many days half of it; unset: to be chosen."""
    live: str = ""
    """The folder of the model that is live, to be measured beside the new one; empty if there is none."""


class DescribedItem(msgspec.Struct, array_like=True):
    """What is written of an item, a line of ``items.jsonl``."""

    item_id: str
    title: str
    categories: tuple[str, ...]
    brand: str
    attributes: dict[str, str]


class Step(msgspec.Struct):
    """One line of progress."""

    share: float
    message: str


def main(folder: Path) -> None:
    """Train as ordered."""
    os.nice(NICENESS)
    began = time.monotonic()
    order = msgspec.json.decode((folder / "order.json").read_bytes(), type=Order)
    with pa.memory_map(str(folder / PURCHASES_FILE)) as file, pa.memory_map(str(folder / SIGNALS_FILE)) as more:
        _train(folder, order, pa.ipc.open_file(file).read_all(), pa.ipc.open_file(more).read_all(), began)


def _train(folder: Path, order: Order, table: pa.Table, shown: pa.Table, began: float) -> None:
    _report(0.05, "reading the purchases")
    # Imported late, so that the first line of progress does not wait for it.
    import torch

    from services.recommendation.adapters import snapshots
    from services.recommendation.domain.model import Model
    from services.recommendation.learning.training import train

    torch.set_num_threads(max(1, min(len(os.sched_getaffinity(0)), 4)))
    newest = int(pc.max(table["time"]).as_py())
    purchases, item_ids, customer_ids = _purchases(table, shown, newest)
    learnt = train(purchases, _wanted(order), order.min_basket_count, _incumbent(order.live, item_ids, newest), _report)
    interested = _Interested(shown, customer_ids, newest)
    unbought, embedding, explained = _content(folder, order, learnt, purchases, item_ids, interested)
    more = len(unbought)
    model = Model(
        training=_training(order, learnt, purchases, newest, began, explained),
        item_ids=[*item_ids, *unbought],
        customer_ids=customer_ids,
        context=np.concatenate([learnt.embedding.context, embedding.context]),
        target=np.concatenate([learnt.embedding.target, embedding.target]),
        likeness=np.concatenate([learnt.embedding.likeness, embedding.likeness]),
        recent_buyers=np.pad(learnt.recent_buyers, (0, more)),
        history_starts=learnt.histories.starts,
        history_items=learnt.histories.items,
        history_weights=learnt.histories.weights,
        history_baskets=learnt.histories.baskets,
        pair_starts=np.pad(learnt.associations.starts, (0, more), mode="edge"),
        pair_items=learnt.associations.partners,
        pair_baskets=learnt.associations.together,
        item_baskets=np.pad(learnt.associations.baskets, (0, more)),
        next_starts=np.pad(learnt.transitions.starts, (0, more), mode="edge"),
        next_items=learnt.transitions.items,
        next_strengths=learnt.transitions.strengths,
        trail_starts=learnt.trails.starts,
        trail_items=learnt.trails.items,
        trail_steps=learnt.trails.steps,
        interest_starts=learnt.interests.starts,
        interest_items=learnt.interests.items,
        interest_weights=learnt.interests.weights,
    )
    snapshots.write(model, folder / "model")
    _report(1.0, "done")


def _purchases(table: pa.Table, shown: pa.Table, newest: int) -> "tuple[Purchases, list[str], list[str]]":
    """Everything in codes, with the items and the customers in their order. Interest in what nobody has bought yet is
    left out: of that ``learning.viewers`` makes vectors."""
    from services.recommendation.learning.purchases import Purchases
    from services.recommendation.learning.signals import Signals

    shown = shown.filter(pc.is_in(shown["item_id"], value_set=table["item_id"].combine_chunks().unique()))
    (baskets, basket_ids), (items, item_ids) = (_codes(table[name]) for name in ("basket_id", "item_id"))
    everybody = pa.chunked_array([*table["customer_id"].chunks, *shown["customer_id"].chunks], type=pa.string())
    customers, customer_ids = _codes(everybody)

    def ages(times: pa.ChunkedArray) -> NDArray[np.float32]:
        return np.asarray(np.maximum((newest - times.to_numpy()) / MICROS_A_DAY, 0), dtype=np.float32)

    interesting = pc.index_in(shown["item_id"], value_set=pa.array(item_ids, pa.string())).to_numpy().astype(np.int32)
    kinds = shown["kind"].to_numpy().astype(np.int8)
    signals = Signals(customers[len(table) :], interesting, kinds, ages(shown["time"]))
    counts = len(customer_ids), len(basket_ids), len(item_ids)
    purchases = Purchases(customers[: len(table)], baskets, items, ages(table["time"]), *counts, signals=signals)
    return purchases, item_ids, customer_ids


def _wanted(order: Order) -> "Wanted":
    from services.recommendation.domain.signals import FeedbackWeights
    from services.recommendation.learning.selection import Wanted

    feedback = FeedbackWeights(*order.feedback) if order.feedback else None
    return Wanted(order.dimensions, order.half_life_days or order.usual_half_life_days, order.cpu_seconds, feedback)


@dataclass(frozen=True)
class _Interested:
    """Who looked at what, as it was read."""

    shown: pa.Table
    customer_ids: list[str]
    newest: int

    def matrix(self, item_ids: list[str], weights: "FeedbackWeights") -> "sparse.csr_array":
        """Customers by items: what their interest counts; of others it says nothing."""
        from services.recommendation.learning.signals import Signals

        customers, items = (
            pc.index_in(self.shown[name], value_set=pa.array(ids, pa.string())).combine_chunks()
            for name, ids in (("customer_id", self.customer_ids), ("item_id", item_ids))
        )
        kept = pc.and_(pc.is_valid(customers), pc.is_valid(items)).to_numpy(zero_copy_only=False)
        ages = np.maximum((self.newest - self.shown["time"].to_numpy()[kept]) / MICROS_A_DAY, 0)
        who, what = (each.fill_null(0).to_numpy()[kept].astype(np.int32) for each in (customers, items))
        kinds = self.shown["kind"].to_numpy()[kept].astype(np.int8)
        found = Signals(who, what, kinds, ages.astype(np.float32))
        return found.weighed(weights, (len(self.customer_ids), len(item_ids)))


def _content(
    folder: Path,
    order: Order,
    learnt: "Learnt",
    purchases: "Purchases",
    item_ids: list[str],
    interested: _Interested,
) -> "tuple[list[str], Embedding, dict[str, float]]":
    """The items that nobody has bought, with vectors from what is written of them, and from who looked at them; none
    where that says nothing. And how much each explained."""
    from services.recommendation.learning.content import Described, content_vectors, encoder_of
    from services.recommendation.learning.viewers import INTEREST, joined, tastes_of_viewers, viewed_vectors

    _report(0.95, "reading what is written of items")
    told = {}
    with (folder / ITEMS_FILE).open("rb") as lines:
        decode = msgspec.json.Decoder(DescribedItem).decode
        for item in map(decode, lines):
            told[item.item_id] = Described(item.item_id, item.title, item.categories, item.brand, item.attributes)
    bought = [told.pop(item_id, Described(item_id)) for item_id in item_ids]
    features = encoder_of(order.encoder).encode([*bought, *told.values()])
    buyers = np.asarray(purchases.distinct().buyers(), dtype=np.int64)
    texts = features[: len(bought)], features[len(bought) :]
    found = content_vectors(texts[0], learnt.embedding, buyers, texts[1])
    recipe = learnt.selection.recipe
    interest = interested.matrix([*item_ids, *told], recipe.feedback if recipe.feedback.any else INTEREST)
    tastes = purchases.distinct().by_customer(purchases.distinct().weights(recipe.history_half_life_days))
    liked = tastes_of_viewers(interest, tastes, learnt.embedding.context)
    viewed = viewed_vectors(texts, (liked[: len(bought)], liked[len(bought) :]), learnt.embedding, buyers)
    rows, embedding = joined(found, len(told), viewed)
    figures = {"content.explained": found.explained, "viewers.explained": viewed.content.explained if viewed else 0.0}
    names = list(told)
    return [names[row] for row in rows], embedding, figures


def _training(
    order: Order, learnt: "Learnt", purchases: "Purchases", newest: int, began: float, explained: dict[str, float]
) -> "Training":
    from services.recommendation.domain.model import Training

    recipe = learnt.selection.recipe
    return Training(
        model_version=order.model_version,
        algorithm=recipe.algorithm.name,
        create_time=time.time_ns() // 1000,
        train_micros=int((time.monotonic() - began) * 1_000_000),
        position=order.position,
        newest_time=newest,
        half_life_days=recipe.algorithm.half_life_days,
        min_basket_count=order.min_basket_count,
        frequency_share=recipe.blending.mixture.frequency,
        following_share=recipe.blending.mixture.following,
        new_following_share=recipe.blending.new.following,
        trail_decay=recipe.trail_decay,
        history_days=recipe.history_days,
        transition_days=recipe.transition_days,
        half_life_asked=order.half_life_days,
        dimensions_asked=order.dimensions,
        dimensions=learnt.embedding.dimensions,
        interaction_count=len(purchases),
        customer_count=purchases.buyer_count,
        basket_count=purchases.basket_count,
        item_count=purchases.item_count,
        metrics=dict(learnt.selection.metrics) | {name: value for name, value in explained.items() if value},
        worse_than_live=learnt.selection.worse_than_live,
        view_weight=recipe.feedback.view,
        cart_weight=recipe.feedback.cart,
        feedback_half_life_days=recipe.feedback.half_life_days,
        signal_count=len(purchases.signals),
    )


def _incumbent(folder: str, item_ids: list[str], newest: int) -> "Incumbent | None":
    """The live model in the codes of the new purchases; items that it does not know have no vector."""
    from services.recommendation.adapters import snapshots
    from services.recommendation.learning.algorithm import Embedding
    from services.recommendation.learning.selection import Incumbent, recipe_of
    from services.recommendation.learning.validation import Blending

    if not folder:
        return None
    try:
        model = snapshots.read_model(Path(folder))
    except snapshots.ModelUnreadable:
        return None  # the server has logged it; nothing is compared with a model that does not answer
    training = model.training
    known = np.array([model.row_of.get(item_id, -1) for item_id in item_ids])

    def coded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.zeros((len(item_ids), vectors.shape[1]), dtype=np.float32)
        rows[known >= 0] = vectors[known[known >= 0]]
        return rows

    recipe = recipe_of(
        training.algorithm,
        training.dimensions,
        training.half_life_days,
        Blending(training.mixture, training.new_mixture),
        training.trail_decay,
        training.feedback,
        training.history_days,
        training.transition_days,
    )
    embedding = Embedding(coded(model.context), coded(model.target), coded(model.likeness))
    return Incumbent(recipe, embedding, max((newest - training.newest_time) / MICROS_A_DAY, 0.0)) if recipe else None


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
