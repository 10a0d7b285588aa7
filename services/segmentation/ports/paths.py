"""What the question about ways of customers needs from outside."""

from collections.abc import Mapping
from typing import Protocol

from services.common.rules import Rule
from services.segmentation.domain.path import Paths, PathsResult


class PathFinder(Protocol):
    """The ways that customers take."""

    async def paths(
        self, tenant: str, question: Paths, segment_id: str, segments: Mapping[str, Rule], at: int
    ) -> PathsResult:
        """Until ``at``, of everybody or of the members of a segment."""
        ...
