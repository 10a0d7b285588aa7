"""Who fulfils which rule, out of some customers: by rule, and by customer."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from functools import cached_property

import numpy as np
import numpy.typing as npt


class Members(Set[str]):
    """Those of ``asked`` (object array of ids) of whom ``truths`` (an array as long) says so: a set that is made when
    it is first looked into, because most is asked by customer."""

    def __init__(self, asked: npt.NDArray[np.object_], truths: npt.NDArray[np.bool_]) -> None:
        self.asked, self.truths = asked, truths

    @cached_property
    def _set(self) -> frozenset[str]:
        return frozenset(self.asked[self.truths].tolist())

    @classmethod
    def _from_iterable(cls, members: Iterable[str]) -> Set[str]:  # type: ignore[override]  # typeshed: of this class
        return frozenset(members)

    def __contains__(self, who: object) -> bool:
        return who in self._set

    def __iter__(self) -> Iterator[str]:
        return iter(self._set)

    def __len__(self) -> int:
        return int(self.truths.sum())


def by_customer(matched: Mapping[str, Set[str]], customer_ids: Collection[str]) -> dict[str, Set[str]]:
    """For each of the customers the keys of the rules that it fulfils."""
    found: dict[str, Set[str]] = dict.fromkeys(customer_ids, frozenset())
    together: dict[int, list[str]] = {}
    for key, members in matched.items():
        if isinstance(members, Members):
            together.setdefault(id(members.asked), []).append(key)
    for keys in together.values():
        for who, fulfilled in _fulfilled(keys, [matched[key] for key in keys]):
            if who in found:
                found[who] = fulfilled
    for key, members in matched.items():
        if not isinstance(members, Members):
            for who in members if len(members) < len(found) else found.keys() & members:
                if who in found:
                    found[who] = found[who] | {key}
    return found


def _fulfilled(keys: list[str], members: list[Set[str]]) -> Iterator[tuple[str, Set[str]]]:
    """Many customers fulfil the same rules: each set of rules is made once."""
    several = [each for each in members if isinstance(each, Members)]
    packed = np.packbits(np.array([each.truths for each in several]), axis=0)
    width, rows = len(packed), packed.T.tobytes()
    known: dict[bytes, frozenset[str]] = {bytes(width): frozenset()}
    for number, who in enumerate(several[0].asked.tolist()):
        bits = rows[number * width : (number + 1) * width]
        if bits not in known:
            truths = np.unpackbits(np.frombuffer(bits, np.uint8), count=len(keys))
            known[bits] = frozenset(key for key, truth in zip(keys, truths.tolist(), strict=True) if truth)
        yield who, known[bits]
