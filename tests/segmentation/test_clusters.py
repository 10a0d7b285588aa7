"""Clusters find customers who were made alike, say how sure they are, and describe them; lookalikes find the rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pytest

from services.common.clock import from_micros, to_micros
from services.common.columnar import open_columnar
from services.common.errors import RequestIdReused
from services.common.jobs import Job, Jobs, State
from services.common.rules import Comparison, Operator
from services.common.store import open_store
from services.segmentation.adapters.memberships import StoredMemberships
from services.segmentation.adapters.store import StoredSegments
from services.segmentation.adapters.studies import StoredClusterings, StoredLookalikes, StoredStarts
from services.segmentation.adapters.tables import TABLES, Observed
from services.segmentation.app import ALL_COLLECTIONS, Settings
from services.segmentation.domain.calendar import Unit, calendar
from services.segmentation.domain.lookalike import LookalikeNotFound, ShareInvalid
from services.segmentation.domain.persona import ClusteringInvalid, ClusteringNotFound, ClustersNotKept, Space
from services.segmentation.handlers.clustering import ClusteringWork
from services.segmentation.handlers.create_segment import create_segment
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.lookalikes import LookalikeWork
from services.segmentation.handlers.studies import Desk
from services.segmentation.learning.clusters import adjusted_rand, assign, fit, silhouette
from services.segmentation.learning.lookalikes import reach
from services.segmentation.ports import Request
from tests.segmentation.histories import DAY
from tests.segmentation.studies import Study, ordered, told

HOUR = DAY // 24
AT = to_micros(datetime(2026, 3, 4, 12, tzinfo=UTC))  # a Wednesday
NONE = Request("", "")


def shoppers(kind: str, count: int, random: np.random.Generator) -> list[Observed]:
    """Customers of one of three kinds, each with something of chance."""
    history: list[Observed] = []
    for number in range(count):
        who = f"{kind}{number:03}"
        history.append(told(who, AT - 400 * DAY, kind=kind))
        if kind == "evening":
            days, hour, category, total, extra = random.integers(1, 60, 12), 19, "Tea", 15, {}
        elif kind == "lapsed":
            days, hour, category, total, extra = random.integers(250, 390, 5), 10, "Wine", 200, {"channel": "store"}
        else:
            days, hour, category, total, extra = 4 + 7 * random.integers(0, 20, 2), 14, "Toys", 20, {"coupon": "SALE"}
        for day in days.tolist():
            time = AT - day * DAY + (hour - 12) * HOUR + int(random.integers(0, HOUR))
            amount = total + int(random.integers(0, total))
            lines = [{"category": category}, *([{"category": "Bread"}] if random.random() < 0.5 else [])]
            history.append(ordered(who, time, amount, products=lines, **extra))
    return history


KINDS = {"evening": 60, "lapsed": 40, "weekend": 30}


class SetTastes:
    """Tastes of which a test says what is known."""

    def __init__(self, *known: tuple[str, Sequence[float]]) -> None:
        self.known = known

    async def vectors(self, tenant: str) -> tuple[Sequence[str], npt.NDArray[np.float32]]:
        return [who for who, _ in self.known], np.array([vector for _, vector in self.known], np.float32)


@dataclass(frozen=True)
class Works:
    """The use cases over real stores."""

    tenant: str
    study: Study
    clustering: ClusteringWork
    lookalikes: LookalikeWork
    segments: StoredSegments
    evaluation: Evaluation

    async def done(self, job: Job) -> Job:
        while job.state in (State.PENDING, State.RUNNING):
            await asyncio.sleep(0.01)
            job = await self.clustering.desk.jobs.get(self.tenant, job.job_id)
        return job


@pytest.fixture
async def works(configure: Callable[..., Settings]) -> AsyncIterator[Works]:
    settings = configure(Settings)
    async with (
        open_store(settings, ALL_COLLECTIONS) as store,
        open_columnar(settings, TABLES) as columnar,
    ):
        study = Study.over(columnar)
        random = np.random.default_rng(3)
        tenant = await study.tenant_with([it for kind, count in KINDS.items() for it in shoppers(kind, count, random)])

        def clock() -> datetime:
            return from_micros(AT)

        jobs = Jobs(store, clock)
        desk = Desk(jobs, StoredStarts(store), clock)
        segments, memberships = StoredSegments(store), StoredMemberships(store)
        yield Works(
            tenant,
            study,
            ClusteringWork(study.insights, segments, SetTastes(), StoredClusterings(store, columnar), desk),
            LookalikeWork(study.insights, segments, memberships, StoredLookalikes(store, columnar), desk),
            segments,
            Evaluation(segments, memberships, study.analytics, clock),
        )
        await jobs.close()


async def test_figures_of_behaviour_are_those_of_the_orders(both: Study) -> None:
    history = [
        told("ann", AT - 30 * DAY, city="Rome"),
        ordered("ann", AT - 4 * DAY - 4 * HOUR, 10, products=[{"category": "Tea"}, {"category": "Tea"}], channel="web"),
        ordered("ann", AT - 9 * DAY + 12 * HOUR, 20, products=[{"category": "Rum", "coupon": "X"}]),
        ordered("ann", AT - 2 * DAY + 8 * HOUR, 30, discount=2),
        ordered("ann", AT + DAY, 99),
        ordered("bob", AT - DAY - 5 * HOUR, 40, products=[{"category": "Tea"}], discount=0),
    ]
    tenant = await both.tenant_with(history)
    found = await both.insights.behaviour(tenant, "", calendar(Unit.DAY, "", AT), AT)
    assert (found.currency, list(found.customer_ids)) == ("EUR", ["ann", "bob"])
    ann = dict(zip(found.names, found.figures[0].tolist(), strict=True))
    third = pytest.approx(1 / 3)
    assert ann == {
        "recency_days": 1,
        "frequency": 3,
        "monetary_minor": 6000,
        "order_value_minor": 2000,
        "tenure_days": 30,
        "morning_share": third,
        "afternoon_share": 0,
        "evening_share": third,
        "night_share": third,
        "weekend_share": third,
        "discount_share": pytest.approx(2 / 3),
        "category:Tea": third,
        "category:Rum": third,
        "channel:web": third,
    }
    bob = dict(zip(found.names, found.figures[1].tolist(), strict=True))
    assert (bob["discount_share"], bob["category:Tea"], bob["morning_share"]) == (0, 1, 1)


async def test_customers_who_were_made_alike_are_found_and_described(works: Works) -> None:
    job = await works.done(await works.clustering.start(works.tenant, NONE, 2, 6, "", ""))
    assert job.state is State.SUCCEEDED, job.message
    found = await works.clustering.get(works.tenant, job.results["clustering_id"])
    assert found == await works.clustering.get(works.tenant, "")
    assert [trial.cluster_count for trial in found.trials] == [2, 3, 4, 5, 6]
    assert max(found.trials, key=lambda trial: trial.silhouette).cluster_count == len(found.personas) == 3
    assert min(found.stability) > 0.9
    assert [persona.customer_count for persona in found.personas] == list(KINDS.values())
    evening, lapsed, weekend = found.personas
    assert [persona.categories[0].category for persona in found.personas] == ["Tea", "Wine", "Toys"]
    assert evening.categories[0].lift > 1.2
    assert (evening.daypart, lapsed.daypart, weekend.daypart) == ("evening", "morning", "afternoon")
    assert weekend.weekend_share == 1
    assert evening.name == "Recent frequent buyers of Tea, in the evening"
    assert lapsed.name.startswith("High-value lapsed")
    assert weekend.name.endswith("bargain hunters of Toys, in the afternoon, at the weekend")
    assert lapsed.description.startswith("31% of the customers, who bring ")
    assert lapsed.description.endswith("They favour Wine (4.9 times as often as all).")
    shares = [abs(it.standardised) for it in evening.differences]
    assert shares == sorted(shares, reverse=True)
    assert sum(persona.revenue_share for persona in found.personas) == pytest.approx(1)

    keeping, newest = works.clustering.clusterings, found.clustering_id
    assert await keeping.clusters_of(works.tenant, newest, ["evening000", "lapsed001", "nobody"]) == {
        "evening000": 0,
        "lapsed001": 1,
    }
    members = await keeping.members(works.tenant, newest, 2, 100, "")
    assert members == [f"weekend{number:03}" for number in range(30)]
    assert await keeping.members(works.tenant, newest, 2, 100, "weekend027") == members[28:]


async def test_customers_of_one_taste_are_found_whatever_they_spend(works: Works) -> None:
    who = [f"{kind}{number:03}" for kind, count in KINDS.items() for number in range(count)]
    random = np.random.default_rng(4)
    liked = {name: (1.0, 0.0) if number % 2 else (0.0, 1.0) for number, name in enumerate(who)}
    lengths = 1 + 9 * random.random(len(who))
    tastes = SetTastes(
        *((name, np.multiply(liked[name], length)) for name, length in zip(who[:-10], lengths, strict=False)),
        ("nobody", (1.0, 0.0)),
    )
    clustering = replace(works.clustering, tastes=tastes)
    job = await works.done(await clustering.start(works.tenant, NONE, 2, 4, "", "", Space.TASTE))
    assert job.state is State.SUCCEEDED, job.message
    found = await clustering.get(works.tenant, "")
    assert (found.space, found.model, found.customer_count) == (Space.TASTE, None, 120)
    assert [persona.customer_count for persona in found.personas] == [60, 60], "angles count, lengths do not"
    assert found.trials[0].silhouette == pytest.approx(1, abs=1e-3)
    assigned = dict(await clustering.clusterings.assignments(works.tenant, found.clustering_id, 1000, ""))
    assert assigned.keys() == set(who[:-10])
    groups = {liked[name]: {assigned[each] for each in assigned if liked[each] == liked[name]} for name in assigned}
    assert sorted(groups.values(), key=min) == [{0}, {1}]
    with pytest.raises(ClustersNotKept, match="by taste"):
        await clustering.reassign(works.tenant, NONE, "")
    few = replace(works.clustering, tastes=SetTastes(("evening000", (1.0, 0.0))))
    job = await works.done(await few.start(works.tenant, NONE, 2, 4, "", "", Space.TASTE))
    assert job.message == "1 customers have orders and are known to recommendation; clusters need 30"


async def test_a_clustering_is_started_once_for_a_request(works: Works) -> None:
    once = Request("r1", "content")
    first = await works.clustering.start(works.tenant, once, 2, 3, "", "")
    again = await works.clustering.start(works.tenant, once, 2, 3, "", "")
    assert first.job_id == again.job_id
    with pytest.raises(RequestIdReused):
        await works.clustering.start(works.tenant, Request("r1", "other content"), 2, 3, "", "")
    assert (await works.done(first)).state is State.SUCCEEDED
    second = await works.done(await works.clustering.start(works.tenant, NONE, 2, 3, "", ""))
    ended = [await works.done(first), second]
    one, other = [await works.clustering.get(works.tenant, job.results["clustering_id"]) for job in ended]
    assert one.personas == other.personas, "the same history gives the same clusters"


async def test_too_few_customers_and_impossible_numbers_are_refused(works: Works) -> None:
    for least, most in ((1, 3), (5, 4), (3, 21)):
        with pytest.raises(ClusteringInvalid):
            await works.clustering.start(works.tenant, NONE, least, most, "", "")
    with pytest.raises(ClusteringNotFound):
        await works.clustering.get("nobody", "")
    job = await works.done(await works.clustering.start(works.tenant, NONE, 2, 3, "USD", ""))
    assert (job.state, job.message) == (State.FAILED, "0 customers have orders; clusters need 30")


async def test_lookalikes_of_some_are_the_others_of_their_kind(works: Works) -> None:
    rule = Comparison("kind", Operator.EQUALS, ("evening",))
    for number in range(30, 60):  # half of them are not known to be of the kind
        await works.study.analytics.append(
            [Observed(works.tenant, f"evening{number:03}", f"x{number}", 1, "Identify", AT - DAY, {"kind": "unknown"})],
            f"x{number}",
        )
    segment = await create_segment(
        works.segments, works.evaluation, works.study.analytics, lambda: from_micros(AT),
        lambda: "seeds", works.tenant, NONE, "seeds", "", rule,
    )  # fmt: skip
    await works.evaluation.refresh(works.tenant)
    work = works.lookalikes
    job = await works.done(await work.start(works.tenant, NONE, "like tea", segment.segment_id, "", ""))
    assert job.state is State.SUCCEEDED, job.message
    found = await work.get(works.tenant, job.results["lookalike_id"])
    assert (found.seed_count, found.candidate_count) == (30, 100)
    assert [it.share for it in found.reach] == [percent / 100 for percent in range(1, 11)]
    recalls = [it.recall for it in found.reach]
    assert recalls == sorted(recalls)
    best, size = await work.customers(works.tenant, found.lookalike_id, 0.1, 0, 100)
    assert (len(best), size) == (10, 10)
    assert all(who.startswith("evening") and int(who[7:]) >= 30 for who in best)
    assert await work.customers(works.tenant, found.lookalike_id, 0.05, 3, 100) == (best[3:5], 5)
    with pytest.raises(ShareInvalid):
        await work.customers(works.tenant, found.lookalike_id, 0.2, 0, 1)
    with pytest.raises(LookalikeNotFound):
        await work.get("nobody", found.lookalike_id)


@pytest.mark.parametrize("seed", range(20))
def test_customers_who_barely_differ_fall_into_no_more_clusters_than_differ(seed: int) -> None:
    points = np.repeat(np.eye(3, dtype=np.float32), [7, 1, 1], axis=0)
    found = fit(points, 2, 8, seed)
    assert 2 <= len(found.centroids) <= 3
    assert all(-1 <= each <= 1 for each in found.stability)


def test_lift_is_high_for_seeds_that_are_alike_and_one_for_seeds_by_chance() -> None:
    random = np.random.default_rng(5)
    points = random.normal(size=(4000, 6)).astype(np.float32)
    alike = (points[:, 0] > 1.5) & (random.random(4000) < 0.5)
    chosen = random.random(4000) < 0.25
    assert reach(points, alike, [0.1], 1)[0].lift > 5
    assert reach(points, chosen, [0.1], 1)[0].lift == pytest.approx(1, abs=0.25)
    same = np.zeros((4000, 2), np.float32)
    assert reach(same, chosen, [0.1], 1)[0].recall == 0, "who cannot be told apart is in the middle, not ahead"


def test_the_silhouette_is_that_of_its_definition() -> None:
    random = np.random.default_rng(7)
    points = random.normal(size=(40, 3))
    labels = random.integers(0, 4, 40)
    labels[0] = 9  # alone
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)

    def one(place: int) -> float:
        own = (labels == labels[place]) & (np.arange(40) != place)
        if not own.any():
            return 0.0
        inside = distances[place, own].mean()
        outside = min(distances[place, labels == other].mean() for other in set(labels) - {labels[place]})
        return float((outside - inside) / max(inside, outside))

    expected = np.mean([one(place) for place in range(40)])
    assert silhouette(distances.astype(np.float32), labels) == pytest.approx(expected, abs=1e-5)
    assert silhouette(distances.astype(np.float32), np.zeros(40, np.int64)) == 0


def test_the_adjusted_rand_index_is_one_for_equal_partitions_and_about_zero_by_chance() -> None:
    random = np.random.default_rng(9)
    one = random.integers(0, 4, 2000)
    assert adjusted_rand(one, (one + 1) % 4) == 1
    assert abs(adjusted_rand(one, random.integers(0, 4, 2000))) < 0.01
    # The example of Hubert and Arabie's index in the literature: three against two clusters of six points.
    assert adjusted_rand(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(0.24242, abs=1e-5)


def test_clusters_by_chance_are_said_to_be_unstable() -> None:
    random = np.random.default_rng(11)
    noise = random.normal(size=(600, 8)).astype(np.float32)
    fitted = fit(noise, 4, 4, 1)
    assert np.mean(fitted.stability) < 0.6
    sizes = np.bincount(assign(noise, fitted.centroids))
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)
