"""What use cases need of the outside to train, and how a mutation is named."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from services.recommendation.domain.training_settings import TrainingSettings

Progress = Callable[[float, str], Awaitable[None]]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A mutation as the caller named it: the same id with the same content is the same mutation."""

    tenant: str
    id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """How to train; 0 leaves a choice to measurement. Nothing is tried once ``cpu_seconds`` are spent on choosing."""

    dimensions: int = 0
    half_life_days: float = 0.0
    min_basket_count: int = 5
    cpu_seconds: float = 300.0
    accept_worse: bool = False


class SettingsStore(Protocol):
    """How each tenant wants its models to be trained."""

    async def get(self, tenant: str) -> TrainingSettings:
        """The settings; those that leave everything open where none were saved."""
        ...

    async def put(self, request: Request, settings: TrainingSettings) -> None:
        """Replace the settings, and remember the request in the same commit."""
        ...


class TrainingJobs(Protocol):
    """Runs trainings in the background, one at a time for a tenant, and keeps their state."""

    async def unfinished(self, tenant: str) -> str:
        """The id of the newest job if it waits or is at work; empty otherwise."""
        ...

    async def known(self, tenant: str, job_id: str) -> bool:
        """Whether a job of this id was ever accepted."""
        ...

    async def start(self, tenant: str, job_id: str, work: Callable[[Progress], Awaitable[dict[str, str]]]) -> str:
        """Accept a job: its id, which is chosen where none is given."""
        ...
