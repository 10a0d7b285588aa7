"""The customers of a tenant as numbers, and by merges whose rows are whose."""

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.segmentation.adapters.kept_streams import Crowd, Integers
from services.segmentation.adapters.tables import hashed

Names: TypeAlias = npt.NDArray[np.object_]
NEVER = 2**62
FEW = 10_000
"""Up to so many rows are numbered one by one."""
_OWN = "\0"
"""Begins the origin of rows that stay with their customer whatever is merged."""


FEWER = 4
"""Rows that are fewer than this part of all customers are numbered without preparing to find all of these."""
MANY = 1_000
"""From so many names on they are looked for together."""
GROWN = 16
"""Names are put in order anew when there are this part more of them."""


class Contradiction(ValueError):
    """Rows of one origin belong to different customers."""


class _Ordered:
    """Names in the order of their hashes: many are found in one walk, where a dictionary is looked up all over the
    memory, at 0.7 microseconds a name among a million. Whom it does not find may be known all the same."""

    def __init__(self, names: Sequence[str | None]) -> None:
        hashes = np.fromiter(map(hash, names), np.int64, len(names))
        self._codes = np.argsort(hashes)
        self._hashes = hashes[self._codes]
        self._names = np.array(names, object)

    def __len__(self) -> int:
        return len(self._names)

    def likely(self, names: Names) -> Integers:
        """The number that each has if it is here."""
        hashes = np.fromiter(map(hash, names), np.int64, len(names))
        order = np.argsort(hashes)
        places = np.searchsorted(self._hashes, hashes[order])
        found = np.empty(len(names), np.int64)
        found[order] = self._codes[np.minimum(places, len(self) - 1)]
        return found

    def others(self, codes: Integers, names: Names) -> Integers:
        """The places of those names that do not have these numbers."""
        return np.flatnonzero(self._names[codes] != names)

    def forget(self, code: int) -> None:
        """Nobody has this number any more."""
        if code < len(self):
            self._names[code] = None


class People:
    """Each origin has a number; a customer has that of the origin of the same name."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._ids: list[str] = []
        self._owner, self._first, self._hash = (np.zeros(0, np.int64) for _ in range(3))
        self._made_of: dict[int, set[int]] = {}
        self._ordered: _Ordered | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def meet(self, origins: pa.ChunkedArray, customers: pa.ChunkedArray, firsts: Integers) -> None:
        """Customers with events: since when; ``Contradiction``."""
        codes = self.number(origins, customers)
        np.minimum.at(self._first, codes, firsts)

    def number(self, origins: pa.ChunkedArray, customers: pa.ChunkedArray) -> npt.NDArray[np.int32]:
        """The number of each row's origin; of new ones the next. ``Contradiction``."""
        if len(origins) > FEW:
            self._add_missing(origins, customers)
            return self.known(origins, customers)
        pairs = zip(origins.to_pylist(), customers.to_pylist(), strict=True)
        return np.array([self._number(origin or _OWN + customer, customer) for origin, customer in pairs], np.int32)

    def _number(self, origin: str, customer: str) -> int:
        code = self._codes.get(origin)
        if code is None:
            code = self._create(origin)
            self._give(code, self._codes[customer] if customer in self._codes else self._create(customer))
        if self._ids[self._owner[code]] != customer:
            raise Contradiction(origin)
        return code

    def _create(self, name: str) -> int:
        code = len(self._ids)
        if code == len(self._owner):
            self._owner, self._first, self._hash = (
                np.concatenate([column, np.full(len(column) + 1024, fill, np.int64)])
                for column, fill in ((self._owner, -1), (self._first, NEVER), (self._hash, -1))
            )
        self._codes[name] = code
        self._ids.append(name)
        self._owner[code] = code
        return code

    def _add_missing(self, origins: pa.ChunkedArray, customers: pa.ChunkedArray) -> None:
        pairs = pa.table({"origin": origins, "customer": customers}).group_by(["origin", "customer"]).aggregate([])
        for origin, customer in zip(pairs["origin"].to_pylist(), pairs["customer"].to_pylist(), strict=True):
            self._number(origin or _OWN + customer, customer)

    def known(self, origins: pa.ChunkedArray, customers: pa.ChunkedArray) -> npt.NDArray[np.int32]:
        """As ``number``, where all are known."""
        if len(origins) * FEWER < len(self):
            keys = _keys(origins, customers).combine_chunks().dictionary_encode()
            of_keys = np.array([self._codes[each] for each in keys.dictionary.to_pylist()], np.int32)
            few: npt.NDArray[np.int32] = of_keys[keys.indices.to_numpy(zero_copy_only=False)]
            return few
        found = pc.index_in(_keys(origins, customers), value_set=pa.array(self._ids, pa.string()))
        numbers: npt.NDArray[np.int32] = found.to_numpy().astype(np.int32)
        return numbers

    def own(self, origins: Iterable[str], customer: str) -> None:
        """What is known of these origins belongs to the customer from now on."""
        for origin in origins:
            code = self._codes.get(origin)
            if code is not None:
                self._give(code, self._codes[customer] if customer in self._codes else self._create(customer))

    def _give(self, code: int, owner: int) -> None:
        before = int(self._owner[code])
        if before == owner:
            return
        self._made_of.setdefault(before, {before}).discard(code)
        self._made_of.setdefault(owner, {owner} if self._owner[owner] == owner else set()).add(code)
        self._owner[code] = owner

    def forget(self, customer_ids: Iterable[str]) -> None:
        """Nothing has these names any more."""
        for name in chain.from_iterable((each, _OWN + each) for each in customer_ids):
            code = self._codes.pop(name, None)
            if code is not None:
                for other in self._made_of.pop(code, {code}):
                    self._owner[other] = -1
                self._owner[code], self._ids[code] = -1, ""
                if self._ordered:
                    self._ordered.forget(code)
        for made_of in self._made_of.values():
            made_of -= {code for code in made_of if self._owner[code] == -1}

    def crowd(self, customer_ids: Iterable[str] | None, at: int) -> tuple[Crowd, Names, Integers]:
        """Those of the customers that had an event up to ``at`` (of all, where none are given): with their names and
        numbers."""
        codes, names = self._named(customer_ids)
        origins, places = self._origins(codes)
        first = self._first[origins]
        if self._made_of:
            first = np.full(len(codes), NEVER, np.int64)
            np.minimum.at(first, places, self._first[origins])
        crowd = Crowd(origins, places, len(codes), len(self))
        seen = first <= at
        if not seen.all():
            crowd, chosen = crowd.part(seen)
            codes, names = codes[chosen], names[chosen]
        return crowd, names, codes

    def _named(self, customer_ids: Iterable[str] | None) -> tuple[Integers, Names]:
        """The numbers of customers in order, and their names: what is near each other is faster to find."""
        if customer_ids is None:
            owners = self._owner[: len(self)]
            codes = np.flatnonzero(np.bincount(owners[owners >= 0], minlength=len(self)))
            return codes, np.array(self._ids, object)[codes]
        asked = np.array(list(customer_ids), object)
        if len(asked) < MANY or len(self) < MANY:
            return _known(np.fromiter(map(self._codes.get, asked, repeat(-1)), np.int64, len(asked)), asked)
        if self._ordered is None or len(self) > len(self._ordered) * (GROWN + 1) // GROWN:
            self._ordered = _Ordered([each or None for each in self._ids])
        codes, names = _known(self._ordered.likely(asked), asked)
        others = self._ordered.others(codes, names)  # a comparison in the order of numbers is twice as fast
        if not len(others):
            return codes, names
        codes[others] = [self._codes.get(who, -1) for who in names[others].tolist()]
        return _known(codes, names)

    def _origins(self, codes: Integers) -> tuple[Integers, Integers]:
        if not self._made_of:
            return codes, np.arange(len(codes))
        merged = np.isin(codes, np.fromiter(self._made_of, np.int64, len(self._made_of)))
        plain = np.flatnonzero(~merged & (self._owner[codes] == codes))
        origins, places = [codes[plain]], [plain]
        for place in np.flatnonzero(merged).tolist():
            mine = self._made_of[int(codes[place])]
            origins.append(np.array(sorted(mine), np.int64))
            places.append(np.full(len(mine), place, np.int64))
        return np.concatenate(origins), np.concatenate(places)

    def hashes(self, codes: Integers) -> Integers:
        """The hash of each name, of which buckets are made."""
        for code in codes[self._hash[codes] < 0].tolist():
            self._hash[code] = hashed(self._ids[code])
        return self._hash[codes]


def _known(codes: Integers, names: Names) -> tuple[Integers, Names]:
    """Those who have numbers, in their order."""
    order = np.argsort(codes)
    order = order[np.searchsorted(codes[order], 0) :]
    return codes[order], names[order]


def _keys(origins: pa.ChunkedArray, customers: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pc.any(pc.equal(origins, "")).as_py():
        return origins
    own = pc.binary_join_element_wise(_OWN, customers, "")
    return pc.if_else(pc.equal(origins, ""), own, origins)
