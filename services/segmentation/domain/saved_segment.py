"""What was found out about customers, to be kept as a segment."""

from dataclasses import dataclass
from typing import TypeAlias

from services.common.errors import FailedPrecondition, InvalidArgument
from services.segmentation.domain.funnel import Funnel

LISTED_MAX = 100_000


class SourceMissing(InvalidArgument):
    """It is not said of what a segment is to be made. Metadata ``field``."""


class DropOffTooLarge(FailedPrecondition):
    """More customers drop out than can be listed. Metadata ``maximum``."""


@dataclass(frozen=True, slots=True)
class DropOff:
    """Those who reach a step of a funnel, counted from 0, and not the next."""

    funnel: Funnel
    step: int


@dataclass(frozen=True, slots=True)
class PersonaSource:
    """The customers of a cluster; of the newest clustering where the id is empty."""

    clustering_id: str
    cluster: int


@dataclass(frozen=True, slots=True)
class LookalikeSource:
    """A share of the candidates, the most alike."""

    lookalike_id: str
    share: float


Source: TypeAlias = DropOff | PersonaSource | LookalikeSource
