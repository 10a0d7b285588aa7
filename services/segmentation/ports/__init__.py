"""What the use cases of segmentation need from outside. Times are microseconds."""

from collections.abc import AsyncIterator, Collection, Container, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.common.rules import MembersCondition, Rule
from services.segmentation.domain.association import Baskets
from services.segmentation.domain.calendar import Calendar
from services.segmentation.domain.customer_list import CustomerList, Named
from services.segmentation.domain.explanation import Finding
from services.segmentation.domain.funnel import Funnel, FunnelResult
from services.segmentation.domain.growth import Growth, GrowthResult, Trend, TrendSeries
from services.segmentation.domain.history import Calculation, SegmentVersion
from services.segmentation.domain.lookalike import Lookalike
from services.segmentation.domain.membership import Standing, Transition
from services.segmentation.domain.persona import Behaviour, Clustering
from services.segmentation.domain.retention import Retention, RetentionResult
from services.segmentation.domain.rfm import Cuts, RfmTable
from services.segmentation.domain.segment import Segment
from services.segmentation.domain.segment_value import SegmentValues, Spans
from services.segmentation.domain.selection import Breakdown
from services.segmentation.domain.timing import Timing
from services.segmentation.ports.files import MemberWriter as MemberWriter
from services.segmentation.ports.files import RowWriter as RowWriter
from services.segmentation.ports.request import Request as Request


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All segments of a tenant, by id, and the version of the whole: two changes at once cannot pass by each other."""

    segments: Mapping[str, Segment]
    version: int
    lists: frozenset[str] = frozenset()
    """The lists that rules may name."""
    scores: frozenset[str] = frozenset()
    """The scores of clusters and lookalikes that rules may name."""

    @property
    def rules(self) -> dict[str, Rule]:
        """The rules, by segment id."""
        return {segment_id: segment.rule for segment_id, segment in self.segments.items()}


class Segments(Protocol):
    """The segment definitions of all tenants."""

    async def answered(self, tenant: str, request: Request) -> Segment | None:
        """The first answer to ``request``; ``RequestIdReused`` if another request had its id."""
        ...

    async def get(self, tenant: str, segment_id: str) -> Segment | None:
        """The segment, or ``None``."""
        ...

    async def many(self, tenant: str, segment_ids: Sequence[str]) -> dict[str, Segment]:
        """Those of ``segment_ids`` that exist, by id."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Segment], str]:
        """A page of segments by id, and the token of the next."""
        ...

    async def catalogue(self, tenant: str) -> Catalogue:
        """All segments of a tenant."""
        ...

    async def tenants(self) -> list[str]:
        """The tenants that have or had segments."""
        ...

    async def save(self, tenant: str, segment: Segment, catalogue: Catalogue, request: Request) -> None:
        """Store a new segment, or its next version, and keep the version with its author. ``Conflict`` or
        ``AlreadyExists`` if ``catalogue`` is not the newest any more: read again and retry."""
        ...

    async def delete(self, tenant: str, segment: Segment, catalogue: Catalogue, request: Request) -> None:
        """Remove a segment, not its versions; errors as for ``save``."""
        ...

    async def versions(self, tenant: str, segment_id: str, limit: int, after: str) -> tuple[list[SegmentVersion], str]:
        """A page of what a segment was, the newest first, and the token of the next."""
        ...

    async def versions_of(self, tenant: str, segment_id: str, versions: Collection[int]) -> dict[int, SegmentVersion]:
        """Those of ``versions`` that the segment has had."""
        ...


class Lists(Protocol):
    """The lists of customers of all tenants."""

    async def get(self, tenant: str, list_id: str) -> CustomerList | None:
        """The list, or ``None``."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[CustomerList], str]:
        """A page of lists by id, and the token of the next."""
        ...

    async def answered(self, tenant: str, request: Request) -> str | None:
        """The list that the first answer to ``request`` was about; ``RequestIdReused``."""
        ...

    async def create(self, tenant: str, made: CustomerList, request: Request) -> None:
        """Store a new list."""
        ...

    async def delete(self, tenant: str, list_id: str, catalogue: Catalogue, request: Request) -> None:
        """Remove an empty list; ``Conflict`` or ``AlreadyExists`` if ``catalogue`` is not the newest any more."""
        ...

    async def members(self, tenant: str, list_id: str, limit: int, after: str) -> tuple[list[tuple[str, int]], str]:
        """A page of those on a list by id, each with the time of adding, and the token of the next."""
        ...

    async def size(self, tenant: str, list_id: str) -> int:
        """How many are on it."""
        ...

    async def lists_of(self, tenant: str, customer_id: str) -> list[tuple[str, int]]:
        """The lists that a customer is on, each with the time of adding."""
        ...

    async def change(self, tenant: str, list_id: str, customer_ids: Sequence[str], listed: bool, time: int) -> int:
        """Put customers on a list or take them off; how many that changed."""
        ...


class People(Protocol):
    """What profiles knows of who is who."""

    async def resolve(self, tenant: str, named: Sequence[Named]) -> list[str | None]:
        """The customer of each, in order; ``None`` where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Census:
    """How many members a segment has, and when it was evaluated for all customers last (0: never)."""

    member_count: int
    refresh_time: int


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """One entry of the feed."""

    tenant: str
    segment_id: str
    customer_id: str
    entered: bool
    time: int
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class MembershipChanges:
    """Entries in commit order, and the cursor after them."""

    changes: Sequence[MembershipChange]
    cursor: str
    caught_up: bool


class Memberships(Protocol):
    """Who is in which segment, for all tenants, and the feed of transitions."""

    async def standings(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, Standing]:
        """Of each customer asked for."""
        ...

    async def members(self, tenant: str, segment_id: str, limit: int, after: str) -> tuple[list[tuple[str, int]], str]:
        """A page of members by customer id, each with the time of entering, and the token of the next."""
        ...

    async def census(self, tenant: str, segment_id: str) -> Census:
        """The segment's figures."""
        ...

    async def record(
        self, tenant: str, changes: Mapping[str, Sequence[Transition]], standings: Mapping[str, Standing], time: int
    ) -> None:
        """Commit the transitions of customers and their feed entries at once. ``Conflict`` or ``AlreadyExists`` if a
        standing is not the newest any more: read again and retry."""
        ...

    async def calculated(self, tenant: str, made: Mapping[str, Calculation]) -> None:
        """Remember how segments were evaluated for all customers: the last ``CALCULATIONS_MAX`` of each."""
        ...

    async def calculations(self, tenant: str, segment_id: str) -> list[Calculation]:
        """What is remembered of a segment, the newest first."""
        ...

    async def history(
        self, tenant: str, customer_id: str, limit: int, after: str
    ) -> tuple[list[MembershipChange], str]:
        """A page of the entries of the feed about one customer, and the token of the next."""
        ...

    async def newest(self) -> str:
        """The cursor of the newest entry of the feed; empty while there is none."""
        ...

    def changes(self, after: str, tenant: str | None) -> AsyncIterator[MembershipChanges]:
        """The feed after a cursor, of one tenant or of all, live and without end."""
        ...


@dataclass(frozen=True, slots=True)
class Status:
    """How far profiles' feed is applied."""

    applied_cursor: str
    event_count: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many customers there are, how many fulfil each rule, and the first of those who fulfil the first rule."""

    customer_count: int
    counts: Mapping[str, int]
    sample: Sequence[str]


class Analytics(Protocol):
    """The history of all customers, and what can be computed from it."""

    async def matching(
        self,
        tenant: str,
        rules: Mapping[str, Rule],
        segments: Mapping[str, Rule],
        at: int,
        customer_ids: Collection[str] | None = None,
    ) -> dict[str, Set[str]]:
        """For each rule the customers that fulfil it at ``at``, of all or of those given; ``segments`` are the rules
        that the rules may name."""
        ...

    async def sizes(
        self, tenant: str, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: int, sample: int
    ) -> Sizes:
        """As ``matching``, counted."""
        ...

    async def explained(
        self, tenant: str, customer_id: str, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: int
    ) -> dict[str, Finding] | None:
        """For each rule whether the customer fulfils it, and what was found; ``None`` of a customer without events."""
        ...

    async def looked_at(
        self, tenant: str, customer_id: str, condition: MembersCondition, segments: Mapping[str, Rule], at: int
    ) -> dict[str, bool]:
        """The members whom a condition looks at for a customer, and of each whether what is asked is true."""

    async def fellows(self, tenant: str, customer_ids: Collection[str]) -> set[str]:
        """The customers, and whoever is or was in a group with one of them."""

    async def upcoming(
        self, tenant: str, timing: Timing, since: int, until: int, customer_ids: Collection[str] | None = None
    ) -> dict[str, int]:
        """The customers (of all or of those given) for whom the passing of time may change something after ``since``
        and not after ``until``, each with the first such moment."""
        ...

    async def rfm(self, tenant: str, currency: str, at: int | None, cuts: Cuts | None = None) -> RfmTable:
        """RFM up to ``at``, or up to now; ``""``: in the currency with the most orders. Without
        ``cuts`` scores are quantiles."""
        ...

    async def status(self, tenant: str) -> Status:
        """How far profiles' feed is applied, and how many events of the tenant there are."""
        ...

    def pattern_fault(self, pattern: str) -> str | None:
        """What is wrong with an RE2 pattern, or ``None``."""
        ...


@dataclass(frozen=True, slots=True)
class BasketItems:
    """Which basket holds which item: pairs of numbers from 0 on, each pair once, and the names of the items."""

    baskets: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    basket_count: int
    names: Sequence[str]


class Insights(Protocol):
    """Questions about the history of all customers. ``segments`` are the rules of a tenant's segments by id."""

    async def funnel(
        self, tenant: str, funnel: Funnel, breakdown: Breakdown | None, segments: Mapping[str, Rule], at: int
    ) -> FunnelResult:
        """How far customers get until ``at``."""
        ...

    async def dropping_off(self, tenant: str, funnel: Funnel, step: int, at: int, limit: int) -> list[str]:
        """The customers, by id, that reach ``step`` (counted from 0) and not the next; at most ``limit``."""
        ...

    async def retention(
        self, tenant: str, question: Retention, segments: Mapping[str, Rule], at: int
    ) -> RetentionResult:
        """Who comes back until ``at``."""
        ...

    async def growth(self, tenant: str, question: Growth, segments: Mapping[str, Rule], at: int) -> GrowthResult:
        """Who is new, stays, comes back and goes until ``at``."""
        ...

    async def trend(self, tenant: str, question: Trend, segments: Mapping[str, Rule], at: int) -> Sequence[TrendSeries]:
        """A figure over time until ``at``."""
        ...

    async def basket_items(self, tenant: str, baskets: Baskets, at: int) -> BasketItems:
        """What was bought together until ``at``; ``AssociationsTooMany`` beyond ``PAIRS_MAX`` pairs."""
        ...

    async def segment_values(
        self,
        tenant: str,
        segment_ids: Sequence[str],
        segments: Mapping[str, Rule],
        spans: Spans,
        currency: str,
        at: int,
    ) -> SegmentValues:
        """What segments are worth at ``at``."""
        ...

    async def behaviour(
        self, tenant: str, currency: str, local: Calendar, at: int, figures: Sequence[str] | None = None
    ) -> Behaviour:
        """The figures of every customer with orders until ``at``, by customer id; ``CustomersTooMany``. With
        ``figures`` those, as an earlier answer named them, whatever is common by now."""
        ...


class Clusterings(Protocol):
    """The clusters of all tenants, and who is in the newest."""

    async def keep(
        self,
        tenant: str,
        found: Clustering,
        customer_ids: Sequence[str],
        labels: npt.NDArray[np.int64],
        named: Container[str] = (),
    ) -> None:
        """Make these the newest, with the cluster of each customer. Old ones are forgotten, those ``named`` are not."""
        ...

    async def assign(
        self, tenant: str, clustering_id: str, customer_ids: Sequence[str], labels: npt.NDArray[np.int64]
    ) -> None:
        """Assign customers of a clustering anew."""
        ...

    async def assignments(self, tenant: str, clustering_id: str, limit: int, after: str) -> list[tuple[str, int]]:
        """Customers of a clustering by id, after one of them, with their clusters."""
        ...

    async def get(self, tenant: str, clustering_id: str) -> Clustering | None:
        """The clustering, or the newest where the id is empty."""
        ...

    async def clusters_of(self, tenant: str, clustering_id: str, customer_ids: Sequence[str]) -> dict[str, int]:
        """The clusters of those of ``customer_ids`` that were assigned."""
        ...

    async def members(self, tenant: str, clustering_id: str, cluster: int, limit: int, after: str) -> list[str]:
        """The customers of a cluster by id, after one of them."""
        ...


class Lookalikes(Protocol):
    """The lookalikes of all tenants."""

    async def keep(self, tenant: str, found: Lookalike, ranked: Sequence[str]) -> None:
        """Store new ones, with the customers, the most alike first."""
        ...

    async def get(self, tenant: str, lookalike_id: str) -> Lookalike | None:
        """What is known of them."""
        ...

    async def ranked(self, tenant: str, lookalike_id: str, start: int, limit: int) -> list[str]:
        """The customers from place ``start`` on."""
        ...
