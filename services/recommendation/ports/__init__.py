"""What the use cases of recommendation need from outside."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.audience import Audience
from services.recommendation.domain.baskets import Baskets
from services.recommendation.domain.companions import Companions
from services.recommendation.domain.drift import Lists
from services.recommendation.domain.experiment import Experiment, Outcome
from services.recommendation.domain.exploration import Shown
from services.recommendation.domain.feedback import Feedback
from services.recommendation.domain.history import Bought
from services.recommendation.domain.item import Item
from services.recommendation.domain.model import Model, Training, Vectors
from services.recommendation.domain.placement import Placement
from services.recommendation.domain.replenishment import Rhythms
from services.recommendation.domain.selection import Selection
from services.recommendation.domain.shelf import Shelf
from services.recommendation.domain.tally import Counting, Tally
from services.recommendation.ports.examining import Examining as Examining
from services.recommendation.ports.open_lists import OpenLists as OpenLists
from services.recommendation.ports.training import Answer as Answer
from services.recommendation.ports.training import Parameters as Parameters
from services.recommendation.ports.training import Progress as Progress
from services.recommendation.ports.training import Request as Request
from services.recommendation.ports.training import SettingsStore as SettingsStore
from services.recommendation.ports.training import TrainingJobs as TrainingJobs

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item with when it was last changed, and when it first came, in microseconds."""

    item: Item
    update_time: int
    create_time: int = 0


class Catalogue(Protocol):
    """The items of all tenants, and each tenant's shelf, which knows of a change as soon as it is committed."""

    async def shelf(self, tenant: str) -> Shelf:
        """The catalogue in memory. It goes on changing: what is read between two awaits belongs together."""
        ...

    async def get_many(self, tenant: str, item_ids: Sequence[str]) -> dict[str, StoredItem]:
        """Those items that exist, by id."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[StoredItem], str]:
        """A page of items by id, and the token of the next."""
        ...

    async def count(self, tenant: str) -> int:
        """How many items there are."""
        ...

    async def put(
        self, request: Request, items: Sequence[Item], stored: Mapping[str, StoredItem], answer: Answer
    ) -> None:
        """Commit items, in place of those that are ``stored``, with the answer that a replay of the request gets."""
        ...

    async def delete(self, request: Request, item_id: str) -> None:
        """Delete an item, and remember the request in the same commit."""
        ...


class Requests(Protocol):
    """The mutations that were carried out."""

    async def replayed(self, request: Request) -> Answer | None:
        """The answer that the request got before; ``RequestIdReused`` if another request had this id."""
        ...

    async def remember(self, request: Request, answer: Answer) -> Answer:
        """Keep the answer of a request, unless an equal one was faster: the answer that counts."""
        ...


class Interactions(Protocol):
    """What was bought, of all tenants, as far as the feed of profiles has been applied."""

    async def cursor(self) -> str:
        """The feed's cursor up to which everything is recorded."""
        ...

    async def count(self, tenant: str) -> int:
        """How many lines are recorded."""
        ...

    async def bought_since(self, tenant: str, position: int, customer_ids: Sequence[str]) -> dict[str, list[Bought]]:
        """The lines of some customers that were recorded after a position."""
        ...

    async def anything_since(self, tenant: str, position: int) -> bool:
        """Whether lines were recorded, moved or removed after a position."""
        ...

    async def lines_since(self, tenant: str, position: int) -> Mapping[str, int]:
        """How many lines of each item were recorded after a position."""
        ...

    async def moved_since(self, tenant: str, position: int) -> AbstractSet[str]:
        """The customers who were merged, parted or erased after a position: nothing that a model remembers of them
        holds any more, and ``bought_since`` answers all of their lines."""
        ...

    async def lines_of(self, tenant: str, origins: Sequence[str], limit: int, offset: int) -> list[dict[str, Any]]:
        """A page of the recorded lines of a person, named by all of their ids, by time."""
        ...

    async def buyers_since(self, tenant: str, position: int, limit: int) -> list[str]:
        """Some of the customers with lines that were recorded after a position, by id."""
        ...

    async def signals_of(self, tenant: str, ids: Sequence[str], limit: int, offset: int) -> list[dict[str, Any]]:
        """A page of the views and carts of a person, named by all of their ids, by time."""
        ...

    async def popular(self, tenant: str) -> Sequence[tuple[str, int]]:
        """The items that most customers bought in the four weeks before the newest purchase, with how many did; the
        most first, equal ones by id. Kept for some seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Buyers:
    """Whose purchases count: everybody's, a segment's or those of named customers."""

    segment_id: str = ""
    customer_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AudienceQuestion:
    """Who would buy the item of a row, as of a moment. Times are in microseconds."""

    row: int
    now: int
    half_life: int
    exclude_buyers: bool


class Demand(Protocol):
    """What is read of the recorded purchases beside the model; each answer is kept for a while, see there."""

    async def tally(self, tenant: str, countings: tuple[Counting, ...], buyers: Buyers) -> Tally:
        """What everybody, or some customers, did with items. Behind by five seconds at most where all of everybody's
        purchases are counted and nothing else, else by a minute."""
        ...

    async def baskets(self, tenant: str) -> Baskets:
        """The baskets of the newest purchase lines, as of ten minutes ago at most."""
        ...

    async def companions(self, tenant: str, window: int, placed: Callable[[Baskets], Companions]) -> Companions:
        """What each customer bought within a window, in microseconds, as baskets of the newest purchase lines, and what
        ``placed`` makes of them; as of ten minutes ago at most."""
        ...

    async def rhythms(self, tenant: str) -> Rhythms:
        """In which rhythm items are bought again, as of an hour ago at most."""
        ...

    async def purchases_of(self, tenant: str, customer_id: str, limit: int) -> list[tuple[str, int]]:
        """The newest purchases of a customer: items and times."""
        ...

    async def audience(self, tenant: str, model: Model, question: AudienceQuestion) -> Audience:
        """The answer, whole: the same for the same question for five minutes. Purchases count as of a minute before."""
        ...


class Placements(Protocol):
    """The placements of all tenants, with all their versions."""

    async def in_use(self, tenant: str, placement_id: str) -> Placement | None:
        """The placement as lists use it: from memory, and five seconds old at most."""
        ...

    async def get(self, tenant: str, placement_id: str, version: int = 0) -> Placement | None:
        """The placement as it is stored, or one of its versions."""
        ...

    async def at(self, tenant: str, placement_id: str, version: int) -> Placement | None:
        """A version of a placement, from memory: versions do not change."""
        ...

    async def next_version(self, tenant: str, placement_id: str) -> int:
        """A number that no version of the placement ever had."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Placement], str]:
        """A page of placements by id, and the token of the next."""
        ...

    async def put(self, request: Request, placement: Placement, expected: int) -> None:
        """Keep a placement in a new version, where ``expected`` is in use; remember the request in the same commit.
        ``Conflict`` or ``AlreadyExists`` if somebody was faster."""
        ...

    async def delete(self, request: Request, placement_id: str) -> None:
        """Take a placement out of use, and remember the request in the same commit."""
        ...


class Experiments(Protocol):
    """The experiments of all tenants."""

    async def running(self, tenant: str, placement_id: str) -> Experiment | None:
        """The experiment that runs on a placement, five seconds old at most."""
        ...

    async def get(self, tenant: str, experiment_id: str) -> Experiment | None:
        """An experiment."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Experiment], str]:
        """A page of experiments by id, and the token of the next."""
        ...

    async def start(self, request: Request, experiment: Experiment) -> None:
        """Keep an experiment and let it run, and remember the request in the same commit. ``AlreadyExists``."""
        ...

    async def stop(self, request: Request, experiment: Experiment) -> None:
        """Keep how an experiment ended, and remember the request in the same commit."""
        ...


@dataclass(frozen=True, slots=True)
class Exposure:
    """Somebody was given a list of an experiment; the time in microseconds."""

    tenant: str
    experiment_id: str
    subject: str
    customer_id: str
    variant: str
    time: int


@dataclass(frozen=True, slots=True)
class Period:
    """What a report is of; times, and the window of attribution, in microseconds."""

    start: int
    end: int
    placement_id: str
    window: int


@dataclass(frozen=True, slots=True)
class ReportRows:
    """What a report is made of: events and attributed orders by kind of list, items that were shown with their buyers,
    and how many customers there are."""

    events: Sequence[dict[str, Any]]
    orders: Sequence[dict[str, Any]]
    items: Sequence[dict[str, Any]]
    customer_count: int
    explored: Sequence[dict[str, Any]] = ()
    """Lists with new items: their ids, items of them, impressions and clicks; the newest first."""


class FeedbackLog(Examining, Protocol):
    """What became of lists."""

    async def record(self, request: Request, events: Sequence[Feedback]) -> None:
        """Record events; those that are recorded already stay as they are."""
        ...

    def expose(self, exposure: Exposure) -> None:
        """Note that somebody is in an experiment; written within a second, the first time of each."""
        ...

    async def flush(self) -> None:
        """Write what was noted."""
        ...

    async def shown(self, tenant: str, customer_id: str, half_life: int, now: int) -> Mapping[str, float]:
        """What a customer saw and never clicked in 30 days: by item how often, each time half after a half-life."""
        ...

    async def shown_to_all(self, tenant: str) -> Mapping[str, Shown]:
        """How often each item was seen, looked at and clicked, ten seconds old at most."""
        ...

    async def report(self, tenant: str, period: Period) -> ReportRows:
        """What became of the lists of a period."""
        ...

    async def explored(self, tenant: str, period: Period) -> Sequence[dict[str, Any]]:
        """Items of lists with new ones that were seen in a period, with what came of them: the newest 300,000."""
        ...

    async def shown_in(self, tenant: str, period: Period) -> Lists:
        """What was shown in a period: impressions, clicks, and how often each of 100,000 items was."""
        ...

    async def clicked_before(self, tenant: str, period: Period) -> Sequence[dict[str, Any]]:
        """How often each item was looked at and clicked before a period, in all lists."""
        ...

    async def outcomes(self, tenant: str, experiment: Experiment) -> tuple[dict[str, Outcome], str]:
        """What the people of each variant did, and the currency of amounts."""
        ...

    async def of_person(self, tenant: str, ids: Sequence[str], limit: int, offset: int) -> list[dict[str, Any]]:
        """A page of the events of a person, named by all of their ids, by time."""
        ...


class Traits(Protocol):
    """What profiles knows of customers."""

    async def of(self, tenant: str, customer_id: str) -> Mapping[str, Any]:
        """The traits of a customer by name, a minute old at most; none where profiles does not answer in time."""
        ...


class Memberships(Protocol):
    """Who is in which segment, as far as the feed of segmentation has been applied."""

    async def segments_of(self, tenant: str, customer_id: str) -> frozenset[str]:
        """The segments of a customer."""
        ...

    async def members(self, tenant: str, segment_id: str) -> list[str]:
        """The customers in a segment, by id."""
        ...


class VectorIndex(Protocol):
    """Finds the vectors with the largest inner products. Searches run beside the event loop."""

    async def search(self, queries: Vectors, count: int, allowed: Selection) -> tuple[Rows, Vectors]:
        """For each query the rows of at most ``count`` allowed vectors, best first, and their inner products. Where
        fewer are allowed the rest of a line is -1."""
        ...


@dataclass(frozen=True, slots=True)
class Live:
    """A model with its two indexes: of target vectors, and of likeness vectors."""

    model: Model
    targets: VectorIndex
    likenesses: VectorIndex


class Models(Protocol):
    """The models of all tenants: trained beside the server, kept on disk, one of them live."""

    async def live(self, tenant: str) -> Live | None:
        """The model that answers, loaded; ``None`` before the first training, or if what is on disk cannot be read."""
        ...

    async def training_of_live(self, tenant: str) -> Training | None:
        """What is known of the model that answers, without loading it."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Training], str]:
        """A page of trainings, newest first, and the token of the next."""
        ...

    async def train(self, tenant: str, parameters: Parameters, progress: Progress) -> Training:
        """Train on everything recorded, keep the model and make it live, at once and whole, unless it is worse than
        the live one and that is not accepted. ``TrainingFailed``."""
        ...

    async def find(self, tenant: str, version: str) -> Training | None:
        """What is known of a model."""
        ...

    async def kept(self, tenant: str) -> list[str]:
        """The versions whose arrays are on disk, oldest first."""
        ...

    async def make_live(self, request: Request, version: str) -> None:
        """Let a kept model answer, and remember the request in the same commit. ``ModelUnreadable``."""
        ...
