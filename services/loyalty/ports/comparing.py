"""What leaderboards need of the outside."""

from collections.abc import Sequence
from typing import Protocol

from services.loyalty.domain.leaderboard import LeaderboardBook, LeaderboardName
from services.loyalty.domain.score import Ranking, Score


class Leaderboards(Protocol):
    """Scores and rankings, to read, and those that are over, to forget."""

    async def counted(self) -> bool:
        """Wait, for some seconds at most, until what was entered before is counted; whether it is."""
        ...

    async def book(self, tenant: str, program_id: str) -> LeaderboardBook:
        """A programme's leaderboards."""
        ...

    async def ranking(self, tenant: str, ranking: str) -> Ranking:
        """How many members there are in a period, by score."""
        ...

    async def score(self, tenant: str, ranking: str, member_id: str) -> Score | None:
        """A member's score in it."""
        ...

    async def best(self, tenant: str, ranking: str, limit: int, after: str) -> tuple[list[Score], str]:
        """A page of those with a place, best first, and the token of the next; ``InvalidCursor``."""
        ...

    async def near(self, tenant: str, ranking: str, place: str, limit: int, *, better: bool) -> list[Score]:
        """Those whose place is next to this one, the nearest first."""
        ...

    async def ahead(self, tenant: str, ranking: Ranking, place: str) -> int:
        """How many have a better place."""
        ...

    async def names(self, tenant: str, program_id: str, member_ids: Sequence[str]) -> dict[str, LeaderboardName]:
        """How members want to be shown, of those who said so."""
        ...

    async def person(self, tenant: str, program_id: str, member_id: str) -> str:
        """Who has the member's account now: the one whom they were merged into."""
        ...

    async def forget_over(self, tenant: str, now: int) -> int:
        """Forget some days and periods that are over; how many scores had any."""
        ...
