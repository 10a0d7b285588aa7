"""Who is whom: customers that profiles has merged are one person, and each of their ids is an origin of it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an id: whose it is now, and which other ids are its own. Most ids are nobody else's: nothing is
    kept of them."""

    customer_id: str
    owner_id: str
    origin_ids: tuple[str, ...] = ()

    @property
    def alone(self) -> bool:
        """Whether there is nothing to keep."""
        return self.owner_id == self.customer_id and not self.origin_ids


class People:
    """What is known of some ids; what merges and their undoing tell changes it."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._known = {each.customer_id: each for each in known}
        self.changed: set[str] = set()

    def of(self, customer_id: str) -> Known:
        """What is known of an id."""
        return self._known.get(customer_id) or Known(customer_id, customer_id)

    def give(self, origin_ids: Iterable[str], before: str, after: str) -> None:
        """These origins belong to ``after`` from now on, and no longer to ``before``: a merge, or its undoing."""
        moving = set(origin_ids)
        for origin_id in moving:
            known = self.of(origin_id)
            self._put(Known(origin_id, after, known.origin_ids))
        left, gained = self.of(before), self.of(after)
        self._put(Known(before, left.owner_id, tuple(sorted(set(left.origin_ids) - moving))))
        origins = (set(gained.origin_ids) | moving) - {after}
        self._put(Known(after, after if after in moving else gained.owner_id, tuple(sorted(origins))))

    def _put(self, known: Known) -> None:
        self._known[known.customer_id] = known
        self.changed.add(known.customer_id)


def ids_of(owner: Known) -> tuple[str, ...]:
    """All ids of a person, the one that they go by first."""
    return owner.customer_id, *owner.origin_ids
