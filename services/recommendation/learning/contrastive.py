"""Vectors learnt by contrast: half of what a customer bought must point at the other half, away from everything else.

A shallow two-tower model. The customer's tower is the weighted sum of context vectors, so nothing is learnt for
customers and anybody gets a vector at once; the item's tower is its target vector. The loss is a softmax over cosines
with a temperature (Wu et al., TOIS 2024; the split of histories is that of denoising autoencoders), whose sum over all
items is estimated from the batch's items and a uniform sample, each weighted by how likely it was to be drawn. It
begins with the spectral vectors. In few dimensions it finds far more than they do; it costs several times as much to
learn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.learning.algorithm import Embedding, Vectors, unit
from services.recommendation.learning.decomposition import device, right_singular, tensor
from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.spectral import damp, normalised

CUSTOMERS_AT_ONCE = 512
HISTORY_MAX = 200
"""Items of a history that one step learns from; of longer ones a sample."""
NEGATIVES = 4096
KEPT = 0.5
"""How likely an item of a history is to be on the side that points; the others are pointed at."""
WARM_UP_STEPS = 50
BANNED = -1e4
SECONDS_A_PAIR = 1.0e-5
"""Of processor time, for one pair of customer and item in one epoch in 64 dimensions; measured."""


@dataclass(frozen=True, slots=True)
class Contrastive:
    """Temperature, share and rate were chosen on a holdout of Gowalla's training part; see the decision record."""

    dimensions: int = 64
    half_life_days: float = 180.0
    temperature: float = 0.08
    rate: float = 0.01
    """Of learning, in 64 dimensions; in others divided by the square root of how many times as many they are."""
    epochs: int = 6

    @property
    def name(self) -> str:
        return "contrastive"

    def cpu_seconds(self, purchases: Purchases) -> float:
        """About how long ``fit`` keeps one core busy."""
        return len(purchases) * self.epochs * SECONDS_A_PAIR * max(self.dimensions / 64, 0.5)

    def fit(self, purchases: Purchases, seed: int) -> Embedding:
        """Learn from distinct purchases, on a GPU if there is one."""
        habits = purchases.tastes(self.half_life_days)
        habits.data = damp(habits.data)
        degrees = np.maximum(np.asarray(habits.sum(axis=0), dtype=np.float32), 1e-6)
        vectors, _ = right_singular(normalised(habits), self.dimensions, seed)
        first = unit(np.asarray(vectors / np.sqrt(degrees)[:, None], dtype=np.float32))
        habits = habits[np.diff(habits.indptr) > 1]
        context, target = _Towers(first, self).learn(habits, seed) if habits.nnz else (first, first)
        sold = (np.bincount(purchases.items, minlength=purchases.item_count) > 0)[:, None]
        target = unit(target) * sold
        _, rotation = np.linalg.eigh(target.T @ target)
        rotation = np.ascontiguousarray(rotation[:, ::-1])
        turned = np.asarray(target @ rotation, dtype=np.float32)
        return Embedding(np.asarray((context * sold) @ rotation, dtype=np.float32), turned, unit(turned))


class _Towers:
    """The two tables while they are learnt."""

    def __init__(self, first: Vectors, how: Contrastive) -> None:
        self._how, self._device = how, device()
        self._context = torch.nn.Parameter(torch.from_numpy(first.copy()).to(self._device))
        self._target = torch.nn.Parameter(torch.from_numpy(first.copy()).to(self._device))
        self._place = np.full(len(first), -1)

    def learn(self, habits: sparse.csr_array, seed: int) -> tuple[Vectors, Vectors]:
        random = np.random.default_rng(seed)
        optimiser = torch.optim.Adam(
            [self._context, self._target], lr=self._how.rate * (64 / self._how.dimensions) ** 0.5, betas=(0.9, 0.99)
        )
        steps = self._how.epochs * -(-habits.shape[0] // CUSTOMERS_AT_ONCE)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min(1.0, (step + 1) / WARM_UP_STEPS) * (1 - step / steps) + 0.02
        )
        drawn = self._how_likely(habits)
        for batch in _batches(habits, self._how.epochs, random):
            loss = self._loss(*_halves(batch, random), drawn, random)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimiser.step()
            schedule.step()
        return self._context.detach().cpu().numpy(), self._target.detach().cpu().numpy()

    def _how_likely(self, habits: sparse.csr_array) -> torch.Tensor:
        """The logarithm of how likely each item is to be among those of a step."""
        share = np.bincount(habits.indices, minlength=habits.shape[1]) / habits.nnz
        pointed_at = habits.nnz * (1 - KEPT) * min(CUSTOMERS_AT_ONCE / habits.shape[0], 1.0)
        expected = pointed_at * share + NEGATIVES / habits.shape[1]
        return torch.from_numpy(np.log(-np.expm1(-expected)).astype(np.float32)).to(self._device)

    def _loss(
        self, given: sparse.csr_array, wanted: sparse.csr_array, drawn: torch.Tensor, random: np.random.Generator
    ) -> torch.Tensor:
        items = np.unique(np.concatenate([wanted.indices, random.integers(0, len(self._place), NEGATIVES)]))
        self._place[items] = np.arange(len(items))
        codes = torch.from_numpy(items).to(self._device)
        queries = torch.nn.functional.normalize(tensor(given, self._device) @ self._context, dim=1)
        targets = torch.nn.functional.normalize(self._target[codes], dim=1)
        logits = queries @ targets.T / self._how.temperature - drawn[codes] + self._banned(given, len(items))
        counts = np.diff(wanted.indptr)
        rows = torch.from_numpy(np.repeat(np.arange(len(counts)), counts)).to(self._device)
        weights = torch.from_numpy((np.maximum(counts, 1) ** -0.5).astype(np.float32)).to(self._device)[rows]
        columns = torch.from_numpy(self._place[wanted.indices]).to(self._device)
        missed = torch.logsumexp(logits, dim=1)[rows] - logits[rows, columns]
        self._place[items] = -1
        return (missed * weights).sum() / weights.sum().clamp_min(1e-9)

    def _banned(self, given: sparse.csr_array, width: int) -> torch.Tensor:
        """What points is not pointed at."""
        rows = np.repeat(np.arange(given.shape[0]), np.diff(given.indptr))
        columns = self._place[given.indices]
        mask = torch.zeros(given.shape[0], width)
        mask[rows[columns >= 0], columns[columns >= 0]] = BANNED
        return mask.to(self._device)


def _batches(habits: sparse.csr_array, epochs: int, random: np.random.Generator) -> Iterator[sparse.csr_array]:
    """Every customer once an epoch, in random order."""
    for _ in range(epochs):
        order = random.permutation(habits.shape[0])
        for first in range(0, len(order), CUSTOMERS_AT_ONCE):
            yield habits[order[first : first + CUSTOMERS_AT_ONCE]]


def _halves(batch: sparse.csr_array, random: np.random.Generator) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Histories divided by chance; long ones are thinned out first."""
    lengths = np.repeat(np.diff(batch.indptr), np.diff(batch.indptr))
    used = random.random(batch.nnz) < HISTORY_MAX / lengths
    first = random.random(batch.nnz) < KEPT
    return _only(batch, used & first), _only(batch, used & ~first)


def _only(batch: sparse.csr_array, cells: NDArray[np.bool_]) -> sparse.csr_array:
    starts = np.concatenate([[0], np.cumsum(cells)])[batch.indptr]
    return sparse.csr_array((batch.data[cells], batch.indices[cells], starts), shape=batch.shape)
