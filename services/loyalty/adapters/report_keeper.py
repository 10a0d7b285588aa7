"""Keeping what reports count: figures by day, of entries and of what offers and codes gave."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.common.store import Change, Document, Insert, Replace, Store, Write
from services.loyalty.adapters.documents import ENTRIES, read_entry
from services.loyalty.adapters.feed_keeper import FeedKeeper
from services.loyalty.adapters.records import RECORDS, read_record, record_body
from services.loyalty.adapters.report_records import RENAMED
from services.loyalty.domain.days import day_of
from services.loyalty.domain.entry import Entry, EntryKind
from services.loyalty.domain.figures import (
    REPORT_COHORTS,
    REPORT_DAYS,
    REPORT_OUTSTANDING,
    REPORT_RETURNS,
    REPORT_VISITS,
    Basis,
    Figures,
    figures_day,
    month_of,
)
from services.loyalty.domain.notice import NOTICES, Notice
from services.loyalty.domain.promotion_figures import REPORT_PROMOTIONS, PromotionDay, promotion_day
from services.loyalty.domain.records import Kind

REPORT_FOLLOWER = "loyalty.reports"


class ReportKeeper(FeedKeeper):
    """Counts what is entered, for ever."""

    follower = REPORT_FOLLOWER

    async def counted(self, changes: Sequence[Change]) -> list[Write]:
        of_programs: dict[tuple[str, str], list[Entry]] = {}
        for change in changes:
            if change.collection == ENTRIES.name and RENAMED not in change.body:
                entry = read_entry(change.id, change.body)
                of_programs.setdefault((change.tenant, entry.program_id), []).append(entry)
        writes: list[Write] = []
        for (tenant, program_id), entries in of_programs.items():
            page = _Page(self._store, tenant, Figures(program_id))
            await page.load(entries)
            for entry in entries:
                page.figures.add(entry)
            writes += page.writes()
        return [*writes, *await self._promotions(changes)]

    async def _promotions(self, changes: Sequence[Change]) -> list[Write]:
        """Count what offers and codes gave."""
        told: dict[str, dict[str, list[Notice]]] = {}
        for change in changes:
            if change.collection == NOTICES.name:
                notice = read_record(NOTICES, change.body)
                if at := promotion_day(notice):
                    told.setdefault(change.tenant, {}).setdefault(f"{at[0]}/{at[1]}", []).append(notice)
        writes: list[Write] = []
        for tenant, days in told.items():
            collection = RECORDS[REPORT_PROMOTIONS.name]
            found = await self._store.get_many(tenant, collection, list(days))
            for name, notices in days.items():
                known, (currency, day) = found.get(name), promotion_day(notices[0]) or ("", 0)
                figures = PromotionDay(currency=currency, day=day)
                if known:
                    figures = read_record(REPORT_PROMOTIONS, known.body)
                for notice in notices:
                    figures.add(notice)
                body = record_body(figures)
                writes.append(
                    Replace(tenant, collection, name, body, known.version)
                    if known
                    else Insert(tenant, collection, name, body)
                )
        return writes


@dataclass(slots=True)
class _Page:
    """The figures of a programme that some entries change, and the documents that they came from."""

    store: Store
    tenant: str
    figures: Figures
    versions: dict[tuple[str, str], int] = field(default_factory=dict)

    async def load(self, entries: Sequence[Entry]) -> None:
        """Read what is kept already."""
        figures, program_id = self.figures, self.figures.program_id
        days = {(basis, figures_day(entry, basis)) for entry in entries for basis in Basis}
        recorded = {day_of(entry.record_time) for entry in entries}
        bought = [(each.member_id, figures_day(each, Basis.EVENT)) for each in entries if each.kind is EntryKind.ORDER]
        for outstanding in await self._find(REPORT_OUTSTANDING, [program_id]):
            figures.outstanding = outstanding
        for day in await self._find(REPORT_DAYS, (f"{program_id}/{basis.value}/{at}" for basis, at in days)):
            figures.days[Basis(day.basis), day.day] = day
        for cohort in await self._find(REPORT_COHORTS, (f"{program_id}/{month_of(day)}" for day in recorded)):
            figures.cohorts[cohort.month] = cohort
        if bought:
            buyers = {buyer for buyer, _ in bought}
            for visits in await self._find(REPORT_VISITS, (f"{program_id}/{buyer}" for buyer in buyers)):
                figures.visits[visits.member_id] = visits
            ordered = {day for _, day in bought}
            for buyer, day in bought:
                known = figures.visits.get(buyer)
                ordered.update(known.following(day) if known else ())
            for returns in await self._find(REPORT_RETURNS, (f"{program_id}/{day}" for day in ordered)):
                figures.returns[returns.day] = returns

    def writes(self) -> list[Write]:
        """The commit that keeps them."""
        figures, program_id = self.figures, self.figures.program_id
        writes = [self._write(REPORT_OUTSTANDING, program_id, figures.outstanding)]
        writes += [
            self._write(REPORT_DAYS, f"{program_id}/{basis.value}/{at}", day)
            for (basis, at), day in figures.days.items()
        ]
        for kind, found in (
            (REPORT_COHORTS, figures.cohorts),
            (REPORT_RETURNS, figures.returns),
            (REPORT_VISITS, figures.visits),
        ):
            writes += [self._write(kind, f"{program_id}/{name}", each) for name, each in found.items()]
        return writes

    async def _find(self, kind: Kind[Any], ids: Iterable[str]) -> list[Any]:
        found: dict[str, Document] = await self.store.get_many(self.tenant, RECORDS[kind.name], list(ids))
        self.versions.update({(kind.name, key): document.version for key, document in found.items()})
        return [read_record(kind, document.body) for document in found.values()]

    def _write(self, kind: Kind[Any], id: str, record: object) -> Write:
        version = self.versions.get((kind.name, id))
        if version is None:
            return Insert(self.tenant, RECORDS[kind.name], id, record_body(record))
        return Replace(self.tenant, RECORDS[kind.name], id, record_body(record), version)
