"""What segmentation needs of whoever knows what customers like."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Tastes(Protocol):
    """What customers like, as vectors."""

    async def vectors(self, tenant: str) -> tuple[Sequence[str], npt.NDArray[np.float32]]:
        """Customers with their vectors ``(customers, dimensions)``, all of one model; ``TastesUnknown``."""
        ...
