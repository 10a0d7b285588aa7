"""People for whom lists are made together: what each bought, and what of that and of the session makes their vector and
their trail. Cell by cell, those of one person behind those of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.cells import Keys, Rows, ranges, summed
from services.recommendation.domain.history import Bought, History, history_of
from services.recommendation.domain.model import Counts, Floats, Model
from services.recommendation.domain.taste import Weighed, tastes_of
from services.recommendation.domain.trail import Trail, trail_of


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of somebody: whom the model remembers them as, what they bought since, and what they look at."""

    customer_id: str
    since: Sequence[Bought] = ()
    session_rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Histories:
    """What people bought: items as rows, each once for each of them."""

    owners: Rows
    rows: Rows
    weights: Floats
    baskets: Floats


@dataclass(frozen=True, slots=True)
class Trails:
    """People's newest items, with what each counts; those of a session are ``viewed``."""

    owners: Rows
    rows: Rows
    weights: Floats
    viewed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Following:
    """Which rows follow which cell of the trails, and how strongly, already weighted; and what follows each person, by
    person and row, with the strengths of all cells added up."""

    cells: Rows
    keys: Rows
    strengths: Floats
    followers: Keys
    totals: Floats


class Crowd:
    """People, by their places. ``kept_out``: how many items the index may find that are no news to each, because they
    are bought or just looked at; ``tasteful``: of whom enough is known for a vector; ``vectors``: one for each, 0 where
    nothing is known; ``others``: what they bought that the model does not know."""

    def __init__(self, model: Model, people: Sequence[Known]) -> None:
        self.people = people
        self._item_count = len(model.item_ids)
        codes = np.array([model.customer_of.get(each.customer_id, -1) for each in people], dtype=np.int64)
        self.histories, self.others = _histories(model, people, codes)
        lengths = np.array([len(each.session_rows) for each in people], dtype=np.int64)
        self.in_session = lengths > 0
        self.session_owners = np.repeat(np.arange(len(people)), lengths)
        self.session_rows = np.array([row for each in people for row in each.session_rows], dtype=np.int64)
        self.kept_out = np.bincount(self.histories.owners, minlength=len(people)) + lengths
        bought = self.histories.owners, self.histories.rows, self.histories.weights
        looked = self.session_owners, self.session_rows
        self.tastes = tastes_of(len(people), bought, _interests(model, codes), looked)
        self.tasteful = np.bincount(self.tastes.owners, minlength=len(people)) > 0
        self.vectors = self.tastes.vectors(model.context, len(people))
        self.trails = _trails(model, people, codes)
        self.following = self._following(model)
        keys = self.keys(self.histories.owners, self.histories.rows)
        self._order = keys.argsort()
        self.bought = Keys(keys[self._order])

    def __len__(self) -> int:
        return len(self.people)

    def keys(self, owners: Rows, rows: Rows) -> Rows:
        """A number for each pair of a person and an item."""
        return owners * self._item_count + rows

    def pairs(self, keys: Rows) -> tuple[Rows, Rows]:
        """The person and the item of each such number."""
        return np.divmod(keys, self._item_count)

    def looked_up(self, keys: Rows) -> tuple[Floats, Floats]:
        """What each pair weighs in the histories, and in how many baskets it was; 0 for those that are not there."""
        places, hits = self.bought.find(keys)
        if not hits.any():
            return np.zeros(len(keys), np.float32), np.zeros(len(keys), np.float32)
        cells = self._order[places]
        return np.where(hits, self.histories.weights[cells], 0), np.where(hits, self.histories.baskets[cells], 0)

    def history(self, place: int) -> Rows:
        """What one of them bought."""
        return np.asarray(self.histories.rows[self.histories.owners == place])

    def _following(self, model: Model) -> Following:
        """What others went on to from the items of trails."""
        walked = self.trails
        cells, places = ranges(model.next_starts[walked.rows], model.next_starts[walked.rows + 1])
        strengths = model.next_strengths[places] * walked.weights[cells]
        keys = self.keys(walked.owners[cells], model.next_items[places].astype(np.int64))
        return Following(cells, keys, strengths, *summed(keys, strengths))


def _histories(model: Model, people: Sequence[Known], codes: Rows) -> tuple[Histories, list[frozenset[str]]]:
    changed = [place for place, each in enumerate(people) if each.since]
    owners, cells = _remembered(codes, changed, model.history_starts)
    columns = owners, model.history_items[cells], model.history_weights[cells], model.history_baskets[cells]
    more = [history_of(model, people[place].customer_id, people[place].since) for place in changed]
    others = [frozenset[str]()] * len(people)
    for place, each in zip(changed, more, strict=True):
        others[place] = each.others
    owners, rows, weights, baskets = _joined(columns, changed, [_columns(each) for each in more])
    return Histories(owners, rows.astype(np.int64), weights, baskets.astype(np.float32)), others


def _interests(model: Model, codes: Rows) -> Weighed:
    """What they looked at or put into carts until the training, bought or not."""
    owners, cells = _remembered(codes, [], model.interest_starts)
    return owners, model.interest_items[cells].astype(np.int64), model.interest_weights[cells]


def _trails(model: Model, people: Sequence[Known], codes: Rows) -> Trails:
    changed = [place for place, each in enumerate(people) if each.since or each.session_rows]
    owners, cells = _remembered(codes, changed, model.trail_starts)
    weights = (model.training.trail_decay ** model.trail_steps[cells]).astype(np.float32)
    columns = owners, model.trail_items[cells], weights, np.zeros(len(cells), dtype=np.bool_)
    more = [
        trail_of(model, each.customer_id, each.since, each.session_rows) for each in map(people.__getitem__, changed)
    ]
    owners, rows, weights, viewed = _joined(columns, changed, [_steps(each) for each in more])
    return Trails(owners, rows.astype(np.int64), weights, viewed)


def _remembered(codes: Rows, changed: Sequence[int], starts: Counts) -> tuple[Rows, Rows]:
    """Owners and cells of what the model remembers of all but the changed; ``codes`` are -1 for strangers."""
    remembered = codes >= 0
    if changed:
        remembered[changed] = False
    known = remembered.nonzero()[0]
    codes = codes[known]
    owners, cells = ranges(starts[codes], starts[codes + 1])
    return known[owners], cells


Columns = tuple[NDArray[Any], ...]


def _columns(history: History) -> Columns:
    return history.rows, history.weights, history.baskets


def _steps(trail: Trail) -> Columns:
    return trail.rows, trail.weights, trail.viewed


def _joined(columns: Columns, changed: Sequence[int], more: Sequence[Columns]) -> Columns:
    """The cells of all, owners ascending."""
    if not changed:
        return columns
    owners = np.concatenate([columns[0], np.repeat(changed, [len(each[0]) for each in more])])
    order = np.argsort(owners, kind="stable")
    rest = (np.concatenate([column, *(each[at] for each in more)])[order] for at, column in enumerate(columns[1:]))
    return owners[order], *rest
