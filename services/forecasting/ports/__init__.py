"""What the use cases of forecasting need from outside."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from services.forecasting.domain.activities import BoughtLine, Seen, Transition
from services.forecasting.domain.customers import CustomerModel, Histories, Prediction, PredictionOrder
from services.forecasting.domain.demand import Goal
from services.forecasting.domain.drivers import Driver, DriverDays, DriverSpan
from services.forecasting.domain.forecasts import Forecast, ForecastKey, StoredModel
from services.forecasting.domain.holidays import HolidayCalendar
from services.forecasting.domain.measures import Dimension, Measure
from services.forecasting.domain.media_mix import Spend, SpendChannel, StoredMix
from services.forecasting.domain.mixes import Scope
from services.forecasting.domain.periods import Periods
from services.forecasting.domain.preference import CategoryPreferences
from services.forecasting.domain.propensity import Goal as PropensityGoal
from services.forecasting.domain.propensity import Moment, Propensity, PropensityModel
from services.forecasting.domain.series import Extent, Selection, Sums
from services.forecasting.domain.uplift import Treatment, Uplift, UpliftExperiment
from services.forecasting.ports.fits import Fits


@dataclass(frozen=True, slots=True)
class Status:
    """How far the orders were followed, and what one tenant has of them."""

    applied_cursor: str
    order_count: int
    line_count: int
    last_time: int | None
    sends_cursor: str = ""


class Activities(Protocol):
    """What customers did."""

    async def count(self, tenant: str) -> int:
        """How many events there are."""
        ...

    async def of_customer(self, tenant: str, origin_ids: Sequence[str], after: int, limit: int) -> list[Seen]:
        """What these origins did, after the first ``after`` rows, the first first."""
        ...


class Memberships(Protocol):
    """Who was in which segment when."""

    async def cursor(self) -> str:
        """How far segmentation was followed."""
        ...

    async def of_customer(self, tenant: str, origin_ids: Sequence[str], after: int, limit: int) -> list[Transition]:
        """Where these origins came and went, after the first ``after`` transitions, the first first."""
        ...


class BoughtLines(Protocol):
    """The order lines of one customer."""

    async def of_customer(self, tenant: str, origin_ids: Sequence[str], after: int, limit: int) -> list[BoughtLine]:
        """What these origins bought, after the first ``after`` lines, the first first."""
        ...


class Lines(Protocol):
    """The order lines of all tenants, and what else series are made of."""

    async def status(self, tenant: str) -> Status:
        """How far the orders were followed."""
        ...

    async def extent(self, tenant: str, selection: Selection | None = None) -> Extent | None:
        """When the tenant's orders were, and in which currencies; ``None`` without orders. For a ``selection`` of
        events: from the first that it counts to the newest of any."""
        ...

    async def sums(self, tenant: str, selection: Selection, periods: Periods) -> Sums:
        """The figures of the periods, by value and bucket."""
        ...

    async def listed(self, tenant: str, selection: Selection, periods: Periods) -> Sums:
        """What the lines of ``sums`` would have cost without discounts, whatever the measure of orders."""
        ...

    async def values(
        self, tenant: str, dimension: Dimension, limit: int, selection: Selection | None = None
    ) -> list[tuple[str, int]]:
        """The categories, products, stores, channels or segments of orders, or of what ``selection`` counts, with their
        numbers of lines (rows, members), the most first."""
        ...

    async def categories(self, tenant: str) -> Mapping[str, str]:
        """The category of each product's newest line."""
        ...

    async def histories(
        self, tenant: str, currency: str, until: int, end: int, customer_ids: Sequence[str] | None = None
    ) -> Histories:
        """What each customer (of those given) bought up to ``until``, and after it up to ``end``: both moments
        included. By id."""
        ...


@dataclass(frozen=True, slots=True)
class PredictionChange:
    """What is expected of a customer now; ``None``: nothing any more.

    ``propensities``, ``uplifts``: by the newest models, all.
    """

    tenant: str
    customer_id: str
    prediction: Prediction | None
    propensities: Sequence[Propensity] = ()
    preferences: CategoryPreferences | None = None
    uplifts: Sequence[Uplift] = ()


@dataclass(frozen=True, slots=True)
class PredictionChanges:
    """Some of the feed: changes, and the models that made their predictions with their tenants."""

    changes: Sequence[PredictionChange]
    models: Sequence[tuple[str, CustomerModel]]
    cursor: str
    caught_up: bool


class PredictionFeed(Protocol):
    """What followers of predictions are told."""

    def changes(self, after: str, tenant: str | None) -> AsyncIterator[PredictionChanges]:
        """Changes behind the cursor, of one tenant or of all, then live, without end. ``InvalidCursor``."""
        ...


class CustomerModels(Protocol):
    """The customer models of all tenants, and what the newest of each says of its customers."""

    async def claim(self, tenant: str) -> int:
        """The version that a fit may use; no other fit gets it."""
        ...

    async def write(self, tenant: str, predictions: Sequence[Prediction]) -> None:
        """Keep predictions of a version that nobody reads yet."""
        ...

    async def publish(self, tenant: str, model: CustomerModel, learnt: Mapping[str, object] | None = None) -> None:
        """Make the model, with the trees that it ``learnt``, and its predictions the newest; those before stay until
        ``tell`` is done."""
        ...

    def turn(self) -> AbstractAsyncContextManager[object]:
        """The right to change predictions that are read, or are about to be: one at a time."""
        ...

    async def untold(self) -> list[str]:
        """The tenants whose newest model followers have not been told of, or not to the end."""
        ...

    async def tell(self, tenant: str) -> int:
        """Tell followers who is expected to do something else than by the model before, and drop what that predicted;
        how many were told. Interrupted, it is done again."""
        ...

    async def correct(self, tenant: str, predictions: Sequence[Prediction], gone: Sequence[str]) -> None:
        """Keep these predictions of the newest version and remove those of ``gone``; followers are told of what is
        different."""
        ...

    async def get(self, tenant: str, version: int = 0) -> CustomerModel | None:
        """The model of that version, 0 for the newest."""
        ...

    async def learnt(self, tenant: str, version: int) -> Mapping[str, Any] | None:
        """The trees of that version; ``None`` for one without, or before the last ones."""
        ...

    async def drop(self, tenant: str, version: int, customer_ids: Sequence[str]) -> None:
        """Remove predictions of a version."""
        ...

    async def predictions(self, tenant: str, customer_ids: Sequence[str]) -> list[Prediction]:
        """What the newest model says of these customers, in their order; those unknown are left out."""
        ...

    async def page(self, tenant: str, order: PredictionOrder, limit: int, after: str) -> tuple[list[Prediction], str]:
        """A page of what the newest model says, the highest first, and the token of the next."""
        ...


class Moments(Protocol):
    """What was known of customers in the past, and what they did then."""

    async def moment(
        self, tenant: str, currency: str, goal: PropensityGoal, at: int, customer_ids: Sequence[str] | None = None
    ) -> Moment:
        """What was known of each customer (of those given) at a moment, and who reached the goal within its horizon
        after it. By id."""
        ...


class Treatments(Protocol):
    """Who was treated in the experiments of all tenants."""

    async def record(self, tenant: str, request_id: str, experiment_id: str, rows: Sequence[Treatment]) -> None:
        """Keep these; of a customer who was recorded before, the new record counts."""
        ...

    async def experiments(self, tenant: str) -> list[UpliftExperiment]:
        """Those that were recorded, by name, then the newest that are campaigns."""
        ...

    async def has(self, tenant: str, experiment_id: str) -> bool:
        """Whether there is an experiment of that name."""
        ...

    async def cursor(self) -> str:
        """How far crm was followed."""
        ...

    async def treatments(self, tenant: str, experiment_id: str) -> tuple[list[Treatment], int]:
        """Of each customer as they are now, and how many were recorded as both and are left out."""
        ...

    async def delete(self, tenant: str, experiment_id: str) -> None:
        """Remove all of an experiment; one that is not there is passed over."""
        ...

    async def of_customer(self, tenant: str, origin_ids: Sequence[str]) -> list[tuple[str, Treatment]]:
        """The experiments that these origins were in."""
        ...


PropensityModels = Fits[PropensityModel, Propensity]


class Forecasts(Protocol):
    """The stored forecasts of all tenants."""

    async def get_many(self, tenant: str, keys: Sequence[ForecastKey]) -> dict[ForecastKey, Forecast]:
        """Those that are stored."""
        ...

    async def put(self, tenant: str, forecasts: Sequence[Forecast], models: Sequence[StoredModel] = ()) -> None:
        """Store these instead of what had their keys, with the ``models`` that they answer to other drivers by. Models
        that no forecast names any more go."""
        ...

    async def model(self, tenant: str, model_id: str) -> StoredModel | None:
        """The model that forecasts name."""
        ...

    async def page(self, tenant: str, measure: Measure | None, limit: int, after: str) -> tuple[list[Forecast], str]:
        """A page of stored forecasts and the token of the next."""
        ...


class Requests(Protocol):
    """The mutations that were carried out before."""

    async def replayed(self, tenant: str, request_id: str, fingerprint: str) -> dict[str, Any] | None:
        """The first answer; ``RequestIdReused`` if the id came with other content."""
        ...

    async def remember(self, tenant: str, request_id: str, fingerprint: str, answer: dict[str, Any]) -> None:
        """Keep the answer; ``AlreadyExists`` if another call kept one first."""
        ...


class SpendRecords(Protocol):
    """What was spent on channels, and the sales beside it."""

    async def record(self, tenant: str, request_id: str, rows: Sequence[Spend]) -> None:
        """Keep these instead of what had their channel, region, currency and day."""
        ...

    async def channels(self, tenant: str) -> list[SpendChannel]:
        """What is known, by channel."""
        ...

    async def spend(self, tenant: str, currency: str, first: date, last: date) -> list[tuple[str, str, int, int]]:
        """Channel, region, day from 1970 and amount of every record from the first to the last day."""
        ...

    async def sales(self, tenant: str, currency: str, periods: Periods) -> list[tuple[str, int, int]]:
        """Store, bucket and amount of all sales within the periods."""
        ...


class MediaMixes(Protocol):
    """The media mix models of all tenants."""

    async def add(self, tenant: str, mix: StoredMix) -> int:
        """Keep the model under the next version, which is answered."""
        ...

    async def get(self, tenant: str, version: int) -> StoredMix | None:
        """The model of that version, 0 for the newest."""
        ...


class Goals(Protocol):
    """The goals of all tenants."""

    async def put(self, tenant: str, goal: Goal) -> None:
        """Keep a goal."""
        ...

    async def delete(self, tenant: str, goal_id: str) -> None:
        """Forget a goal; one that is not there is passed over."""
        ...

    async def count(self, tenant: str) -> int:
        """How many there are."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[Sequence[Goal], str]:
        """A page of goals, the newest first, and the token of the next."""
        ...


class Drivers(Protocol):
    """The drivers, their values and the holidays of all tenants."""

    async def put(self, tenant: str, driver: Driver) -> None:
        """Keep a driver instead of the one of its name."""
        ...

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a driver; one that is not there is passed over."""
        ...

    async def all(self, tenant: str) -> list[Driver]:
        """By name."""
        ...

    async def spans(self, tenant: str) -> Mapping[str, tuple[date, date]]:
        """The first and the last day with a value, by the driver's id."""
        ...

    async def record(self, tenant: str, request_id: str, spans: Sequence[tuple[str, DriverSpan]]) -> int:
        """Keep values by the driver's id; the last of a driver, series and day counts. How many days of series."""
        ...

    async def days(self, tenant: str, driver_ids: Sequence[str], scopes: Sequence[Scope], end: int) -> DriverDays:
        """The values of some drivers for some series, on the days before the one numbered ``end``."""
        ...

    async def put_calendar(self, tenant: str, calendar: HolidayCalendar) -> None:
        """Keep the holidays instead of those before."""
        ...

    async def calendar(self, tenant: str) -> HolidayCalendar:
        """The holidays; those of most of the West where none were put."""
        ...
