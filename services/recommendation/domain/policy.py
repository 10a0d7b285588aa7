"""Candidates for the places that are given to new items: how likely each would have chosen what was drawn.

A list that was drawn says with which probability it was, and out of which items: they stand in its id, each as a digest
of three bytes. So for any candidate it can be told how it would have chosen there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.common.errors import FailedPrecondition, InvalidArgument

DIGEST_BYTES = 3
LINES_MIN = 100
EFFECTIVE_MIN = 30.0
"""Lines of the candidate's own that a log must be worth: an interval from fewer means nothing."""

Floats = NDArray[np.float64]


class PolicyInvalid(InvalidArgument):
    """A candidate that is not one. Metadata ``path`` says where, ``problem`` what is wrong."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"policy.{path}: {problem}", path=path, problem=problem)


class NoSupport(FailedPrecondition):
    """What was drawn says nothing of the candidate. Metadata ``line_count`` and ``effective_size``."""


class PolicyKind(IntEnum):
    """The ways of choosing; the numbers are those of the contract."""

    CHANCE = 1
    BEST_KNOWN = 2
    WEIGHTED = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """A way of choosing one of the items that may get a place."""

    kind: PolicyKind
    chance_share: float = 0.0
    """BEST_KNOWN: how often chance alone chooses."""
    weights: Mapping[str, float] | None = None
    """WEIGHTED: items are chosen in proportion; where none of them has a weight, by chance."""
    other_weight: float = 0.0
    """WEIGHTED: of items that are not named."""


@dataclass(frozen=True, slots=True)
class Draw:
    """An item that was drawn for a place and seen there: how likely that was, the digests of the items out of which it
    was drawn, and what came of it, 0 or 1, unless it is ``corrected`` for its place."""

    item_id: str
    probability: float
    members: bytes
    reward: float
    corrected: bool = False


@dataclass(frozen=True)
class Chances:
    """What the candidate would have given to every item of each draw (a row; columns are items), and to the item that
    was drawn; ``actions`` are the columns of those."""

    target: sparse.csr_array
    actions: NDArray[np.int64]
    of_drawn: Floats


@lru_cache(maxsize=65_536)
def digest_of(item_id: str) -> bytes:
    """What stands for an item in the id of a list."""
    return blake2b(item_id.encode(), digest_size=DIGEST_BYTES).digest()


def members_of(pool: Sequence[str]) -> bytes:
    """The digests of a pool, one behind the other."""
    return b"".join(map(digest_of, pool))


def check_policy(policy: Policy) -> None:
    """``PolicyInvalid``."""
    if not 0 <= policy.chance_share <= 1:
        raise PolicyInvalid("chance_bp", "must be from 0 to 10,000")
    if policy.kind is not PolicyKind.WEIGHTED:
        return
    given = [*(policy.weights or {}).values(), policy.other_weight]
    if not all(np.isfinite(each) and each >= 0 for each in given):
        raise PolicyInvalid("item_weights", "weights must be finite and not negative")
    if not any(given):
        raise PolicyInvalid("item_weights", "some item needs a weight above 0, or other_weight must be")


def chances(policy: Policy, draws: Sequence[Draw], rates: Mapping[str, float]) -> Chances:
    """How a candidate would have chosen, draw by draw. ``rates`` are what BEST_KNOWN goes by, by item; items that are
    not in it are taken to be worth nothing."""
    sizes = np.array([len(draw.members) // DIGEST_BYTES for draw in draws], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    digests, cells = np.unique(_numbers(b"".join(draw.members for draw in draws)), return_inverse=True)
    drawn = _numbers(b"".join(digest_of(draw.item_id) for draw in draws))
    marks = _marks(policy, digests, rates)[cells]
    if policy.kind is PolicyKind.BEST_KNOWN:
        best = np.maximum.reduceat(marks, starts[:-1])
        marks = (marks == np.repeat(best, sizes)).astype(np.float64)
    totals = np.repeat(np.add.reduceat(marks, starts[:-1]), sizes)
    uniform = 1 / np.repeat(sizes, sizes)
    given = np.divide(marks, totals, out=uniform.copy(), where=totals > 0)
    share = policy.chance_share if policy.kind is PolicyKind.BEST_KNOWN else 0.0
    values = (1 - share) * given + share * uniform
    of_drawn = np.add.reduceat(np.where(digests[cells] == np.repeat(drawn, sizes), values, 0.0), starts[:-1])
    target = sparse.csr_array((values, cells, starts), shape=(len(draws), len(digests)))
    actions = np.searchsorted(digests, drawn).clip(max=len(digests) - 1).astype(np.int64)
    return Chances(target, actions, np.clip(of_drawn, 0.0, 1.0))


def _marks(policy: Policy, digests: NDArray[np.int64], rates: Mapping[str, float]) -> Floats:
    """What the candidate makes of each item."""
    if policy.kind is PolicyKind.CHANCE:
        return np.ones(len(digests))
    weighted = policy.kind is PolicyKind.WEIGHTED
    named = (policy.weights or {}) if weighted else rates
    marks = np.full(len(digests), policy.other_weight if weighted else 0.0)
    names = _numbers(b"".join(map(digest_of, named)))
    places = np.searchsorted(digests, names).clip(max=len(digests) - 1)
    there = digests[places] == names
    marks[places[there]] = np.array(list(named.values()), dtype=np.float64)[there]
    return marks


def _numbers(digests: bytes) -> NDArray[np.int64]:
    parts = np.frombuffer(digests, dtype=np.uint8).reshape(-1, DIGEST_BYTES).astype(np.int64)
    numbers: NDArray[np.int64] = parts[:, 0] << 16 | parts[:, 1] << 8 | parts[:, 2]
    return numbers
