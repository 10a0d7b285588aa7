"""Cells of several owners behind one another, so that arithmetic for a hundred people takes no more calls than one."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.model import Floats

Rows = NDArray[np.int64]


def ranges(firsts: Rows, ends: Rows) -> tuple[Rows, Rows]:
    """The whole numbers from each first to the end that belongs to it, and of which pair each comes."""
    if len(firsts) == 1:
        cells = np.arange(firsts[0], ends[0])
        return np.zeros(len(cells), dtype=np.int64), cells
    lengths = ends - firsts
    owners = np.arange(len(lengths)).repeat(lengths)
    before = lengths.cumsum() - lengths
    return owners, np.arange(len(owners)) + (firsts - before).repeat(lengths)


def starts_of(owners: Rows, count: int) -> Rows:
    """Where the cells of each of ``count`` owners begin, and where the last ones end; ``owners`` ascend."""
    return owners.searchsorted(np.arange(count + 1))


def firsts_of(owners: Rows) -> Rows:
    """Where the cells of each owner that has some begin; ``owners`` ascend."""
    if not len(owners):
        return owners
    begins = np.empty(len(owners), dtype=np.bool_)
    begins[0] = True
    np.not_equal(owners[1:], owners[:-1], out=begins[1:])
    return begins.nonzero()[0]


def total_of(values: Floats, owners: Rows, count: int) -> Floats:
    """The sum of the values of each of ``count`` owners."""
    return np.bincount(owners, weights=values, minlength=count).astype(np.float32)


def ranks(owners: Rows) -> Rows:
    """The place of each cell among those of its owner; ``owners`` ascend."""
    firsts = firsts_of(owners)
    before = np.zeros(len(owners), dtype=np.int64)
    before[firsts] = firsts
    return np.arange(len(owners)) - np.maximum.accumulate(before)


def parts(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of ``sizes``, small first, in parts of which the largest size times the number is at most ``most``; one
    alone may be larger."""
    part: list[int] = []
    for place in sorted(range(len(sizes)), key=sizes.__getitem__):
        if part and sizes[place] * (len(part) + 1) > most:
            yield part
            part = []
        part.append(place)
    if part:
        yield part


class Keys:
    """Numbers, ascending, each once, that are looked for."""

    def __init__(self, ascending: Rows) -> None:
        self.ascending = ascending

    def find(self, keys: Rows) -> tuple[Rows, NDArray[np.bool_]]:
        """Where each key is, and whether it is there at all."""
        if not len(self.ascending):
            return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.bool_)
        places = self.ascending.searchsorted(keys)
        places[places == len(self.ascending)] = 0
        return places, self.ascending[places] == keys


def summed(keys: Rows, values: Floats) -> tuple[Keys, Floats]:
    """Keys that may come often, each once, with the sum of its values."""
    order = keys.argsort()
    ascending = keys[order]
    firsts = firsts_of(ascending)
    return Keys(ascending[firsts]), np.add.reduceat(values[order], firsts) if len(firsts) else values


def strongest(values: Floats, most: int) -> tuple[Rows, Rows]:
    """Of each line the places of the ``most`` largest values, largest first, equal ones as they come, and how many of
    them are positive. ``values`` is overwritten."""
    lines = np.arange(len(values))
    places = []
    positive = np.zeros(len(values), dtype=np.int64)
    for _ in range(min(most, values.shape[1])):
        place = values.argmax(axis=1)
        found = values[lines, place] > 0
        if not found.any():
            break
        positive += found
        places.append(place)
        values[lines, place] = -np.inf
    return (np.array(places).T if places else np.zeros((len(values), 0), np.int64)), positive
