"""Drop-offs, personas and lookalikes kept as segments; clusters assigned anew; both as files."""

import csv
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.common.clock import from_micros
from services.common.columnar import Columnar, open_columnar
from services.common.jobs import Jobs, State
from services.common.rules import Comparison, EventCondition, ListCondition, Operator, ScoreCondition, SequenceCondition
from services.common.store import open_store
from services.segmentation.adapters.lists import ListFollower, StoredLists
from services.segmentation.adapters.member_files import clusters_file, lookalikes_file
from services.segmentation.adapters.memberships import StoredMemberships
from services.segmentation.adapters.store import StoredSegments
from services.segmentation.adapters.studies import StoredClusterings, StoredLookalikes, StoredStarts
from services.segmentation.adapters.tables import TABLES
from services.segmentation.app import ALL_COLLECTIONS, Settings
from services.segmentation.domain.funnel import Funnel, FunnelInvalid
from services.segmentation.domain.lookalike import ShareInvalid
from services.segmentation.domain.persona import ClusteringNotFound, ClusterNotFound, ClustersNotKept
from services.segmentation.domain.saved_segment import DropOff, LookalikeSource, PersonaSource
from services.segmentation.domain.selection import EventFilter
from services.segmentation.handlers.clustering import ClusteringWork
from services.segmentation.handlers.create_segment import create_segment
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.export_studies import export_clusters, export_lookalikes
from services.segmentation.handlers.lookalikes import LookalikeWork
from services.segmentation.handlers.reading import member_ids
from services.segmentation.handlers.save_as_segment import Saving
from services.segmentation.handlers.studies import Desk
from services.segmentation.ports import Request
from tests.segmentation.histories import DAY
from tests.segmentation.studies import Study, did, ordered
from tests.segmentation.test_clusters import AT, KINDS, NONE, SetTastes, Works, shoppers

VIEW, CART, BUY = (EventFilter(name) for name in ("View", "Cart", "Buy"))


@dataclass(frozen=True)
class Desktop:
    """The use cases over real stores."""

    works: Works
    saving: Saving
    memberships: StoredMemberships
    follower: ListFollower
    columnar: Columnar

    @property
    def tenant(self) -> str:
        return self.works.tenant

    async def members(self, segment_id: str) -> set[str]:
        """Of a segment, once it was evaluated, with what was written of lists."""
        lists = self.follower
        end = await lists._store.end_of_feed()
        if end:
            async for batch in lists._store.changes(await self.works.study.analytics.cursor("lists")):
                await lists.apply(batch)
                if batch[-1].cursor == end:
                    break
        await self.works.evaluation.refresh(self.tenant, [segment_id])
        return await member_ids(self.memberships, self.tenant, segment_id)

    async def clustered(self) -> str:
        job = await self.works.done(await self.works.clustering.start(self.tenant, NONE, 3, 3, "", ""))
        assert job.state is State.SUCCEEDED, job.message
        return job.results["clustering_id"]


@pytest.fixture
async def desktop(configure: Callable[..., Settings]) -> AsyncIterator[Desktop]:
    settings = configure(Settings)
    async with open_store(settings, ALL_COLLECTIONS) as store, open_columnar(settings, TABLES) as columnar:
        study = Study.over(columnar)
        random = np.random.default_rng(3)
        tenant = await study.tenant_with([it for kind, count in KINDS.items() for it in shoppers(kind, count, random)])
        jobs = Jobs(store, lambda: from_micros(AT))
        desk = Desk(jobs, StoredStarts(store), jobs._clock)
        segments, memberships, lists = StoredSegments(store), StoredMemberships(store), StoredLists(store)
        evaluation = Evaluation(segments, memberships, study.analytics, jobs._clock)
        clustering = ClusteringWork(study.insights, segments, SetTastes(), StoredClusterings(store, columnar), desk)
        alike = LookalikeWork(study.insights, segments, memberships, StoredLookalikes(store, columnar), desk)
        numbers = iter(range(1000))
        saving = Saving(
            segments, lists, study.analytics, study.insights, evaluation, clustering, alike, jobs._clock,
            lambda: f"made {next(numbers)}",
        )  # fmt: skip
        works = Works(tenant, study, clustering, alike, segments, evaluation)
        yield Desktop(works, saving, memberships, ListFollower(store, study.analytics, evaluation.touch), columnar)
        await jobs.close()


async def test_a_persona_is_a_segment_that_follows_when_clusters_are_assigned_anew(desktop: Desktop) -> None:
    clustering_id, tenant = await desktop.clustered(), desktop.tenant
    source = PersonaSource("", 0)
    made = await desktop.saving.save(tenant, Request("r", "f"), "", "", source)
    assert made.name == "Recent frequent buyers of Tea, in the evening"
    assert made.description.startswith("46% of the customers")
    assert made.rule == ScoreCondition(f"cluster.{clustering_id}", Operator.EQUALS, (0.0,))
    assert await desktop.saving.save(tenant, Request("r", "f"), "", "", source) == made
    evening = {f"evening{number:03}" for number in range(60)}
    assert await desktop.members(made.segment_id) == evening

    # Somebody who was not there behaves like the evening's; what is common by then would give other figures.
    newcomer = [replace(each, customer_id="newcomer", message_id=f"n{place}") for place, each in enumerate(
        [ordered("x", AT - day * DAY + 7 * DAY // 24, 20, products=[{"category": "Tea"}]) for day in range(1, 49, 4)]
    )]  # fmt: skip
    others = [ordered("odd", AT - DAY, 5, products=[{"category": f"Rare {n}"}], channel=f"c{n}") for n in range(20)]
    await desktop.works.study.analytics.append([replace(it, tenant=tenant) for it in [*newcomer, *others]], "more")
    job = await desktop.works.done(await desktop.works.clustering.reassign(tenant, NONE, clustering_id))
    assert (job.state, job.results["customer_count"]) == (State.SUCCEEDED, "132"), job.message
    assert await desktop.members(made.segment_id) - {"odd"} == evening | {"newcomer"}


async def test_a_clustering_that_a_segment_names_is_not_forgotten(desktop: Desktop) -> None:
    first, tenant = await desktop.clustered(), desktop.tenant
    made = await desktop.saving.save(tenant, NONE, "", "", PersonaSource(first, 1))
    second = await desktop.clustered()
    keeping = desktop.works.clustering.clusterings
    found = await keeping.get(tenant, second)
    assert found is not None
    for number in range(11):
        again = replace(found, clustering_id=f"c{number}", as_of=found.as_of + 1 + number)
        await keeping.keep(tenant, again, ["ann"], np.zeros(1, np.int64), {first})
    assert await keeping.get(tenant, second) is None
    assert await keeping.assignments(tenant, second, 10, "") == []
    assert len(await desktop.members(made.segment_id)) == 40
    with pytest.raises(ClusterNotFound):
        await desktop.saving.save(tenant, NONE, "", "", PersonaSource(first, 3))
    with pytest.raises(ClusteringNotFound):
        await desktop.saving.save(tenant, NONE, "", "", PersonaSource(second, 0))
    await keeping.keep(
        tenant, replace(found, clustering_id="old", model=None, as_of=AT * 2), ["ann"], np.zeros(1, np.int64)
    )
    with pytest.raises(ClustersNotKept):
        await desktop.works.clustering.reassign(tenant, NONE, "old")


async def test_lookalikes_are_a_segment_of_the_size_that_was_asked_for(desktop: Desktop) -> None:
    tenant, works = desktop.tenant, desktop.works
    rule = Comparison("kind", Operator.EQUALS, ("evening",))
    seeds = await create_segment(
        works.segments, works.evaluation, works.study.analytics, lambda: from_micros(AT),
        lambda: "seeds", tenant, NONE, "seeds", "", rule,
    )  # fmt: skip
    await works.evaluation.refresh(tenant)
    job = await works.done(await works.lookalikes.start(tenant, NONE, "like tea", seeds.segment_id, "", ""))
    lookalike_id = job.results["lookalike_id"]
    made = await desktop.saving.save(tenant, NONE, "", "", LookalikeSource(lookalike_id, 0.1))
    best, size = await works.lookalikes.customers(tenant, lookalike_id, 0.1, 0, 100)
    assert (made.name, size) == ("like tea", 7)
    assert await desktop.members(made.segment_id) == set(best)
    with pytest.raises(ShareInvalid):
        await desktop.saving.save(tenant, NONE, "", "", LookalikeSource(lookalike_id, 0.2))
    written = lookalikes_file(parquet=True)
    parts = [part async for part in export_lookalikes(works.lookalikes, written, tenant, lookalike_id, 0.1)]
    table = pq.read_table(pa.BufferReader(b"".join(parts)))
    assert table.to_pydict() == {"customer_id": best, "place": list(range(1, 8))}


async def test_who_drops_out_of_a_funnel_is_a_segment_live_or_as_a_list(desktop: Desktop) -> None:
    tenant = desktop.tenant
    visits = {"ann": ["View"], "bob": ["View", "Cart"], "cyd": ["View", "Cart", "Buy"], "dan": ["View", "Else", "Cart"]}
    events = [did(who, name, AT - 9 + at) for who, names in visits.items() for at, name in enumerate(names)]
    await desktop.works.study.analytics.append([replace(each, tenant=tenant) for each in events], "visits")
    loose = Funnel((VIEW, CART, BUY))
    live = await desktop.saving.save(tenant, NONE, "", "", DropOff(loose, 1))
    assert live.name == "Dropped out after step 2 (Cart)"
    assert not isinstance(live.rule, ListCondition | EventCondition | SequenceCondition)
    assert await desktop.members(live.segment_id) == {"bob", "dan"}
    once = Request("strict", "content")
    strict = await desktop.saving.save(tenant, once, "Gone", "why", DropOff(replace(loose, strict=True), 0))
    assert isinstance(strict.rule, ListCondition)
    assert (strict.name, strict.description) == ("Gone", "why")
    assert await desktop.members(strict.segment_id) == {"ann", "dan"}
    assert await desktop.saving.save(tenant, once, "Gone", "why", DropOff(replace(loose, strict=True), 0)) == strict
    assert len((await desktop.saving.lists.page(tenant, 10, ""))[0]) == 1
    later = [replace(did("bob", "Buy", AT), tenant=tenant), replace(did("dan", "Cart", AT), tenant=tenant)]
    await desktop.works.study.analytics.append(later, "later")
    assert await desktop.members(live.segment_id) == {"dan"}, "who goes on leaves"
    assert await desktop.members(strict.segment_id) == {"ann", "dan"}, "a list stays"
    with pytest.raises(FunnelInvalid):
        await desktop.saving.save(tenant, NONE, "", "", DropOff(loose, 2))


async def test_clusters_are_exported_with_their_personas(desktop: Desktop) -> None:
    clustering_id = await desktop.clustered()
    work = desktop.works.clustering
    parts = [part async for part in export_clusters(work, clusters_file(parquet=False), desktop.tenant, "")]
    rows = list(csv.DictReader(io.StringIO(b"".join(parts).decode())))
    found = await work.get(desktop.tenant, clustering_id)
    names = {str(persona.cluster): persona.name for persona in found.personas}
    assert len(rows) == sum(KINDS.values())
    assert all(row["persona"] == names[row["cluster"]] for row in rows)
    assert {row["customer_id"][:-3]: row["cluster"] for row in rows} == {"evening": "0", "lapsed": "1", "weekend": "2"}
