"""What is kept of every row, in arrays that grow."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

ROWS_MIN = 1024

Array = NDArray[Any]
Key = TypeVar("Key", bound=Hashable)


class Columns:
    """Columns of equal length by name; what was never set is 0."""

    def __init__(self, **kinds: type) -> None:
        self._arrays: dict[str, Array] = {name: np.zeros(ROWS_MIN, dtype=kind) for name, kind in kinds.items()}
        self.count = 0

    def __getitem__(self, name: str) -> Array:
        """The column, a view of its rows so far."""
        return self._arrays[name][: self.count]

    def extend(self, more: int) -> int:
        """Make room for ``more`` rows: the first of them."""
        first = self.count
        self.count += more
        for name, array in self._arrays.items():
            if len(array) < self.count:
                room = np.zeros(max(2 * len(array), self.count) - len(array), dtype=array.dtype)
                self._arrays[name] = np.concatenate([array, room])
        return first

    def set(self, row: int, values: dict[str, object]) -> None:
        """Set some columns of a row."""
        for name, value in values.items():
            self._arrays[name][row] = value


class Codes(Generic[Key]):
    """Numbers for names, in the order in which they came; a name keeps its number."""

    def __init__(self, first: Iterable[Key] = ()) -> None:
        self.names: list[Key] = []
        self._code_of: dict[Key, int] = {}
        for name in first:
            self.code(name)

    def code(self, name: Key) -> int:
        """The number of a name, a new one where it has none."""
        known = self._code_of.setdefault(name, len(self.names))
        if known == len(self.names):
            self.names.append(name)
        return known

    def known(self, name: Key) -> int:
        """The number of a name, -1 where it has none."""
        return self._code_of.get(name, -1)

    def table(self, codes: Sequence[int]) -> NDArray[np.bool_]:
        """For every number whether it is among ``codes``; -1 is nobody's."""
        table = np.zeros(len(self.names), dtype=np.bool_)
        table[[code for code in codes if code >= 0]] = True
        return table
