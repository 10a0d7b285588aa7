"""Of whom a model has to speak anew since customers were merged or parted."""

from collections.abc import Collection, Iterable
from itertools import chain
from typing import Protocol


class _Said(Protocol):
    """What a model says of a customer."""

    @property
    def customer_id(self) -> str: ...


def touched(moved: Collection[tuple[str, str]], said: Iterable[_Said]) -> list[str]:
    """Whose orders were and whose they are (``moved``), of the pairs of whose former the model ``said`` something."""
    known = {it.customer_id for it in said}
    return sorted(set(chain.from_iterable(pair for pair in moved if pair[0] in known)))
