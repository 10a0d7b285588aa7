"""Lists that can be gone on with: what was asked, and what has been answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from services.common.errors import InvalidArgument, NotFound
from services.recommendation.domain.feedback import Origin
from services.recommendation.domain.item import ItemFilter

LIST_MAX = 500
"""Items of a list, all pages together."""
NAMED_MAX = 1000
"""Items that the filter of such a list may name."""
OPEN_MICROS = 30 * 60 * 1_000_000
"""How long after a page the next one can be asked for."""


class ListNotKept(NotFound):
    """Nothing is kept of the list of this id, or not any more."""


class FilterTooLarge(InvalidArgument):
    """A filter that is too large to be kept."""


@dataclass(frozen=True, slots=True)
class OpenList:
    """A page of a list: the question, and the items of this page and of all before it. Times are in microseconds."""

    customer_id: str = ""
    session_item_ids: tuple[str, ...] = ()
    item_ids: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    visitor_id: str = ""
    filter: ItemFilter = field(default_factory=ItemFilter)
    exclude_bought: bool = False
    count: int = 0
    """How many items the page was asked to hold."""
    origin: Origin = field(default_factory=Origin)
    recommendation_id: str = ""
    first_recommendation_id: str = ""
    page: int = 1
    answered: tuple[str, ...] = ()
    expire_time: int = 0

    @property
    def room(self) -> int:
        """How many items may still come."""
        return max(LIST_MAX - len(self.answered), 0)

    def answering(self, recommendation_id: str, item_ids: tuple[str, ...], now: int) -> "OpenList":
        """With the items of the page that was made, from when on it is open for so long."""
        return replace(
            self,
            recommendation_id=recommendation_id,
            first_recommendation_id=self.first_recommendation_id or recommendation_id,
            answered=self.answered + item_ids,
            expire_time=now + OPEN_MICROS,
        )


def check_open(asked: OpenList) -> None:
    """``FilterTooLarge`` for a filter that names too many items."""
    if len(asked.filter.item_ids) + len(asked.filter.excluded_item_ids) > NAMED_MAX:
        raise FilterTooLarge(f"a list that is resumable may name {NAMED_MAX:,} items in its filter; use attributes")
