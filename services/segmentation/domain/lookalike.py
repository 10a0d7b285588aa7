"""Customers who resemble an audience."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound

SEEDS_MIN = 10
SHARES = tuple(percent / 100 for percent in range(1, 11))
SHARE_MAX = SHARES[-1]
SHARE_DEFAULT = 0.05


class LookalikeNotFound(NotFound):
    """There are no such lookalikes. Metadata ``lookalike_id``."""

    def __init__(self, lookalike_id: str) -> None:
        super().__init__(f"there are no lookalikes {lookalike_id}", lookalike_id=lookalike_id)


class SeedsTooFew(FailedPrecondition):
    """Too few members of the audience have orders to learn from. Metadata ``minimum``."""


class ShareInvalid(InvalidArgument):
    """The size of the audience is not above 0 and at most ``SHARE_MAX``. Metadata ``field``."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a share of the customers would catch of seeds that the model did not see."""

    share: float
    recall: float
    lift: float


@dataclass(frozen=True, slots=True)
class Lookalike:
    """Lookalikes; time in microseconds."""

    lookalike_id: str
    name: str
    segment_id: str
    as_of: int
    seed_count: int
    candidate_count: int
    reach: Sequence[Reach]

    def size(self, share: float) -> int:
        """How many customers a share of the candidates comes to; ``ShareInvalid``."""
        if not 0 < share <= SHARE_MAX:
            raise ShareInvalid(f"the share is above 0 and at most {SHARE_MAX:g}", field="share")
        return round(share * self.candidate_count)
