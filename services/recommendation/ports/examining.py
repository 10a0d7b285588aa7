"""What use cases need of the outside to know how likely places of lists are looked at."""

from typing import Protocol

from services.recommendation.domain.examination import Examination


class Examining(Protocol):
    """How likely places are looked at, by feedback of the newest 90 days."""

    async def examination(self, tenant: str, placement_id: str = "") -> Examination:
        """Of a placement; of all where none is named, or that one tells too little. Ten minutes old at most."""
        ...
