"""Reports: every figure is a sum over the entries, counted once, whatever crashes; estimates keep to their method."""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.loyalty.v1 import report_pb2
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub

from services.common.clock import from_micros, system_clock, to_micros
from services.common.errors import AlreadyExists, Conflict, Refusal
from services.common.grpc_errors import error_info
from services.common.store import Store
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.adapters.feed_keeper import BATCH_MAX, Counted
from services.loyalty.adapters.ledger_files import csv_entries, parquet_entries
from services.loyalty.adapters.referrals import StoredReferrals
from services.loyalty.adapters.report_keeper import ReportKeeper
from services.loyalty.adapters.reports import StoredReports
from services.loyalty.adapters.store import StoredEntries, StoredPrograms
from services.loyalty.app import Settings, serve
from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.days import day_of
from services.loyalty.domain.entry import Account, Entry, EntryKind
from services.loyalty.domain.expiry import ChangeExpiry
from services.loyalty.domain.figures import NEVER_MONTH, Basis, CohortMonth, Figures, figures_day
from services.loyalty.domain.liability import develop, expected_breakage, forecast
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.operations import ExpirePoints
from services.loyalty.domain.orders import ApplyOrderEvents, Told
from services.loyalty.domain.point_cost import PointCost
from services.loyalty.domain.program import NEVER, PendingRelease, PendingRule, RefundPolicy
from services.loyalty.domain.report import (
    Days,
    Interval,
    Kept,
    Report,
    ReportInvalid,
    ReportRequest,
    days_between,
    intervals,
    make_report,
)
from services.loyalty.handlers.coupons import roll_back_coupons
from services.loyalty.handlers.reports import export_ledger, get_loyalty_report
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY, Club
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import (
    DAY,
    NOW,
    TENANT,
    burning,
    earning,
    opening,
    order,
    program,
    refunding,
    request,
    voiding,
)
from tests.loyalty.promoting import open_campaign, use

OPEN = opening(
    "club",
    validity_months=2,
    points_per_100_minor=5,
    pending=PendingRule(PendingRelease.AFTER_DURATION, 3 * DAY),
    refund_policy=RefundPolicy.ALLOW_NEGATIVE,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["earn", "burn", "order", "refund", "void", "extend", "merge", "clock", "wait"]),
        st.sampled_from(["ann", "bob", "cleo"]),
        st.integers(1, 600),
    ),
    max_size=60,
)


def told_of(who: str, number: int, at: int, into: dict[str, str]) -> list[Told]:
    """A merge into somebody, or that it is taken back; nobody is merged twice, and nobody into who was."""
    other = ("ann", "bob", "cleo")[number % 3]
    if who in into:
        return [UnmergeTold(f"u{at}", into.pop(who), who, (who,))]
    if other == who or other in into or who in into.values():
        return []
    into[who] = other
    return [MergeTold(f"m{at}", other, who)]


def lived(steps: Sequence[tuple[str, str, int]]) -> tuple[list[Entry], int, Counter[str], Counter[str]]:
    """The entries of a programme in which all of that happened, when it was over, the lots that members have, and how
    many members are in which tier."""
    books, now = Books(order_counts=OrderCounts()), NOW
    OPEN.apply(books, now)
    into: dict[str, str] = {}
    for at, (what, who, number) in enumerate(steps):
        told: Any = {
            "earn": earning(f"e{at}", number, who, event_time=now - number * DAY),
            "burn": burning(f"b{at}", number, who),
            "order": ApplyOrderEvents([order(f"o{number % 9}", number * 100, who, time=now - (number % 5) * DAY)]),
            "refund": refunding(f"r{at}", f"o{number % 9}", number * 20),
            "void": voiding(f"v{at}", f"o{number % 9}"),
            "merge": ApplyOrderEvents(told_of(who, number, at, into)),
            "extend": ChangeExpiry(
                program_id="club",
                member_id=who,
                expire_time=NEVER,
                extend_days=number % 60 + 1,
                until=NEVER,
                reason="",
                request_id=f"x{at}",
            ),
            "clock": ExpirePoints(program_id="club", member_ids=("ann", "bob", "cleo"), as_of=None, more_due=False),
        }.get(what)
        if told is None:
            now += number * DAY // 10
            continue
        try:
            told.apply(books, now)
        except Refusal:
            continue
    lots: Counter[str] = Counter()
    for member in books.members.values():
        lots.update({str(lot.expire_time): lot.points for lot in member.lots})
    tiers = Counter(member.tier_id for member in books.members.values() if not member.merged_into)
    return books.entered, now, lots, tiers


def counted(entries: Iterable[Entry], now: int, asked: ReportRequest) -> Report:
    """The report, as it is kept."""
    figures = Figures("club")
    for entry in entries:
        figures.add(entry)
    kept = Kept(
        days=[
            day
            for (basis, at), day in sorted(figures.days.items(), key=lambda each: each[0][1])
            if basis is asked.basis and at <= asked.days.last
        ],
        returns=[each for at, each in figures.returns.items() if asked.days.first <= at <= asked.days.last],
        outstanding=figures.outstanding,
        cohorts=[figures.cohorts[month] for month in sorted(figures.cohorts)],
    )
    return make_report(asked, program("club", validity_months=2), None, kept, now)


def moved(entries: Iterable[Entry], debit: Account | None, credit: Account | None) -> int:
    return sum(
        entry.points
        for entry in entries
        if entry.debit is not entry.credit
        and (debit is None or entry.debit is debit)
        and (credit is None or entry.credit is credit)
    )


def check_against_entries(report: Report, entries: Sequence[Entry], asked: ReportRequest) -> None:
    """Every exact figure, recomputed from the entries by the shortest way that there is."""
    days = asked.days

    def day(entry: Entry) -> int:
        return figures_day(entry, asked.basis)

    for part in (*report.series, report.total):
        within = [entry for entry in entries if part.days.first <= day(entry) <= part.days.last]
        until = [entry for entry in entries if day(entry) <= part.days.last]
        refunds = [entry for entry in within if entry.kind is EntryKind.REFUND]
        others = [entry for entry in within if entry.kind is not EntryKind.REFUND]
        orders = [entry for entry in within if entry.kind is EntryKind.ORDER]
        assert (part.issued, part.posted) == (
            moved(within, Account.ISSUANCE, None),
            moved(within, Account.PENDING, Account.MEMBER),
        )
        assert part.burned == moved(within, Account.MEMBER, Account.SPENT)
        assert (part.expired, part.restored) == (
            moved(within, None, Account.EXPIRED),
            moved(within, Account.SPENT, None),
        )
        assert (part.refunded, part.voided) == (
            moved(refunds, None, Account.ISSUANCE),
            moved(others, None, Account.ISSUANCE),
        )
        assert part.closing_balance == moved(until, None, Account.MEMBER) - moved(until, Account.MEMBER, None)
        assert part.closing_pending == moved(until, None, Account.PENDING) - moved(until, Account.PENDING, None)
        assert (part.orders, part.order_amount_minor) == (len(orders), sum(each.order_amount_minor for each in orders))
        assert part.refunded_amount_minor == sum(each.order_amount_minor for each in refunds)
        assert (part.entries, part.enrolled) == (len(within), sum(entry.sequence == 1 for entry in within))
        assert part.uncollected == sum(entry.uncollected for entry in within)
    last = {entry.member_id: entry for entry in sorted(entries, key=lambda each: each.sequence)}
    assert report.spendable - report.owed == sum(entry.balance for entry in last.values())
    assert report.owed == sum(-entry.balance for entry in last.values() if entry.balance < 0)
    assert report.pending == sum(entry.pending for entry in last.values())
    if not any(entry.kind is EntryKind.MERGE for entry in entries):  # then some accounts are part of others
        assert {each.tier_id: each.members for each in report.tiers if each.members} == Counter(
            entry.tier_id for entry in last.values()
        )
    bought = Counter(
        entry.member_id
        for entry in entries
        if entry.kind is EntryKind.ORDER and days.first <= day_of(entry.event_time) <= days.last
    )
    before = {
        entry.member_id for entry in entries if entry.kind is EntryKind.ORDER and day_of(entry.event_time) < days.first
    }
    assert report.repeat.buyers == len(bought)
    assert report.repeat.repeat_buyers == sum(count > 1 for count in bought.values())
    assert report.repeat.returning_buyers == len(before & set(bought))


@settings(deadline=None, max_examples=60)
@given(STEPS, st.sampled_from(Basis), st.sampled_from(Interval), st.integers(0, 90), st.integers(0, 90))
def test_every_figure_is_what_the_entries_add_up_to(
    steps: list[tuple[str, str, int]], basis: Basis, interval: Interval, before: int, length: int
) -> None:
    entries, now, lots, tiers = lived(steps)
    figures = Figures("club")
    for entry in entries:
        figures.add(entry)
    if figures.outstanding:
        assert (figures.outstanding.lots, figures.outstanding.tiers) == (lots, tiers)
    first = day_of(now) - before
    asked = ReportRequest(program_id="club", days=Days(first, first + length), interval=interval, basis=basis)
    report = counted(entries, now, asked)
    check_against_entries(report, entries, asked)
    assert all(points >= 0 for _, points in report.expiring_months)
    assert sum(points for _, points in report.expiring_months) <= report.spendable


def test_intervals_cover_the_days_once_and_keep_to_the_calendar() -> None:
    days = days_between("2026-01-30", "2026-03-02", Interval.MONTH)
    found = intervals(days, Interval.MONTH)
    assert [(each.last - each.first + 1) for each in found] == [2, 28, 2]
    weeks = intervals(days, Interval.WEEK)
    assert (weeks[0].last - weeks[0].first, weeks[-1].last) == (2, days.last)  # Friday to Sunday
    assert all(later.first == earlier.last + 1 for earlier, later in pairwise(weeks))


@pytest.mark.parametrize(
    ("first", "last"), [("2026-02-30", "2026-03-01"), ("2026-03-02", "2026-03-01"), ("2000-01-01", "2026-01-01")]
)
def test_days_that_are_none_or_too_many_are_refused(first: str, last: str) -> None:
    with pytest.raises(ReportInvalid):
        days_between(first, last, Interval.MONTH)


def cohort(month: int, **flows: dict[str, int]) -> CohortMonth:
    """What became in a month of points by the month (``m12``) in which they end."""
    return CohortMonth(program_id="club", month=month, flows={name[1:]: each for name, each in flows.items()})


HISTORY = [
    cohort(10, m12={"in": 1000, "burned": 200}),
    cohort(11, m12={"burned": 400}),
    cohort(12, m12={"burned": 100}),
    cohort(13, m12={"expired": 300}),
]


def test_what_happened_to_points_by_age_is_what_is_expected_of_those_that_are_there() -> None:
    development = develop(HISTORY, 14)
    assert development.months == 4
    assert development.shares(2).burned == pytest.approx(0.2)  # 200 of 1000, two months before their end
    assert development.shares(1).burned == pytest.approx(0.5)  # 400 of 800
    assert development.shares(0).burned == pytest.approx(0.25)  # 100 of 400
    # 1000 points that end in month 16, seen from 14: half go in 15, a quarter of the rest in 16, 375 expire in 17.
    assert expected_breakage(development, {16: 1000.0}, 14) == 375
    ahead = forecast(development, {16: 1000.0}, 14, 3)
    assert [(each.present, each.burned, each.expired) for each in ahead] == [(500, 500, 0), (375, 125, 0), (0, 0, 375)]


def test_new_points_of_the_forecast_are_the_mean_of_the_last_three_months() -> None:
    history = [cohort(month, **{f"m{NEVER_MONTH}": {"in": 300, "burned": 0}}) for month in range(10, 14)]
    ahead = forecast(develop(history, 14), {NEVER_MONTH: 1200.0}, 14, 2)
    assert [(each.new, each.spendable, each.present) for each in ahead] == [(300, 1500, 1200), (300, 1800, 1200)]
    assert expected_breakage(develop(history, 14), {NEVER_MONTH: 1200.0}, 14) == 0


def test_nothing_is_estimated_from_less_than_three_complete_months() -> None:
    development = develop(HISTORY[:3], 12)
    assert (development.months, forecast(development, {16: 10.0}, 12, 3)) == (2, [])
    assert expected_breakage(development, {16: 10.0}, 12) is None


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 400), st.integers(0, 100), st.integers(0, 100)),
        min_size=4,
        max_size=4,
    ),
    st.dictionaries(st.integers(4, 12), st.floats(1, 1e9), max_size=5),
)
def test_no_forecast_holds_more_or_less_than_there_was(
    months: list[tuple[int, int, int, int]], held: dict[int, float]
) -> None:
    history = [
        cohort(at, **{f"m{at + age}": {"in": came, "burned": burned, "expired": expired}})
        for at, (age, came, burned, expired) in enumerate(months)
    ]
    development = develop(history, 4)
    total = sum(held.values())
    breakage = expected_breakage(development, held, 4)
    assert breakage is not None
    assert -1 <= breakage <= total + 1
    for month in forecast(development, held, 4, 12):
        assert 0 <= month.present <= month.spendable
        assert month.present <= total + 1


async def live(house: House, members: int = 40) -> None:
    """Some weeks of a club."""
    for day in range(20):
        house.clock.micros = NOW + day * DAY
        for at in range(members // 4):
            member = f"m{(day * 7 + at) % members}"
            await house.ledger.post(request(f"e{day}-{at}"), earning(f"e{day}-{at}", 100, member))
            if at % 3 == 0:
                await house.ledger.post(request(f"b{day}-{at}"), burning(f"b{day}-{at}", 30, member))


async def everything(store: Store) -> list[Entry]:
    found, _ = await StoredEntries(store).entered(TENANT, "club", 0, NEVER, 1000, "")
    return found


async def test_entries_are_counted_once_by_two_processes_that_start_stop_and_start_again(house: House) -> None:
    await live(house)
    changes = [change async for batch in _until_end(house.store) for change in batch]
    keepers = [ReportKeeper(house.store), ReportKeeper(house.store)]
    at = 0
    for number, size in enumerate([3, 50, 1, 120, len(changes)]):
        batch = changes[at : at + size]
        for keeper in (keepers[number % 2], keepers[1 - number % 2]):  # both have read the same batch
            try:
                await keeper.apply(Counted(batch, batch[-1].cursor))
            except (AlreadyExists, Conflict):
                await keeper._load_cursor()
        if number == 2:
            keepers[0] = ReportKeeper(house.store)  # crashed
            await keepers[0]._load_cursor()
        at += size
    days = Days(day_of(NOW), day_of(NOW) + 30)
    asked = ReportRequest(program_id="club", days=days, interval=Interval.WEEK)
    reports = StoredReports(house.store, keepers[0])
    made = await get_loyalty_report(
        StoredPrograms(house.store), reports, StoredReferrals(house.store), TENANT, asked, NOW + 21 * DAY
    )
    assert made.complete
    check_against_entries(made.report, await everything(house.store), asked)
    assert made.report.total.entries == len(changes)


async def _until_end(store: Store) -> AsyncIterator[list[Any]]:
    end = await store.end_of_feed()
    async for batch in store.changes("", limit=BATCH_MAX):
        yield batch
        if batch[-1].cursor == end:
            return


async def test_a_report_waits_for_what_is_entered_and_the_keeper_counts_without_being_asked(house: House) -> None:
    keeper = ReportKeeper(house.store)
    running = asyncio.create_task(keeper.run())
    try:
        await live(house)
        asked = ReportRequest(program_id="club", days=Days(day_of(NOW), day_of(NOW) + 30))
        reports = StoredReports(house.store, keeper)
        made = await get_loyalty_report(
            StoredPrograms(house.store), reports, StoredReferrals(house.store), TENANT, asked, NOW + 21 * DAY
        )
        assert made.complete
        check_against_entries(made.report, await everything(house.store), asked)
    finally:
        running.cancel()


async def test_a_report_tells_what_offers_and_codes_gave_less_what_was_given_back(house: House) -> None:
    await open_campaign(house, "spring")
    for at, (day, discount) in enumerate([(0, 250), (0, 100), (3, 40)]):
        house.clock.micros = NOW + day * DAY
        await use(house, f"o{at}", "spring", discount=discount)
    house.clock.micros = NOW + 4 * DAY
    await roll_back_coupons(house.ledger, StoredCoupons(house.store), request("back"), "o1", ())
    changes = [change async for batch in _until_end(house.store) for change in batch]
    keeper = ReportKeeper(house.store)
    await keeper.apply(Counted(changes, changes[-1].cursor))
    found = []
    for first, last in ((0, 0), (1, 4), (0, 4)):
        asked = ReportRequest(program_id="club", days=Days(day_of(NOW) + first, day_of(NOW) + last))
        reports, referrals = StoredReports(house.store, keeper), StoredReferrals(house.store)
        made = await get_loyalty_report(StoredPrograms(house.store), reports, referrals, TENANT, asked, NOW + 5 * DAY)
        found.append([(each.campaign_id, each.uses, each.discount_minor) for each in made.report.promotions])
    assert found == [[("spring", 2, 350)], [("spring", 0, -60)], [("spring", 2, 290)]]


async def test_files_hold_every_entry_of_the_period_once_in_order(house: House) -> None:
    await live(house)
    entries = await everything(house.store)
    start, end = NOW + 5 * DAY, NOW + 9 * DAY
    wanted = [entry for entry in entries if start <= entry.record_time < end]
    assert 0 < len(wanted) < len(entries)
    for new in (csv_entries, parquet_entries):
        programs = StoredPrograms(house.store)
        parts = export_ledger(programs, StoredEntries(house.store), new(), TENANT, "club", start, end)
        content = b"".join([part async for part in parts])
        if new is csv_entries:
            rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(content.decode())))
            assert rows[0]["record_time"].endswith("Z")
        else:
            rows = pq.read_table(io.BytesIO(content)).to_pylist()
            assert rows[0]["record_time"] == from_micros(wanted[0].record_time)
        assert [(row["entry_id"], int(row["points"])) for row in rows] == [(each.id, each.points) for each in wanted]


def test_words_of_callers_are_no_formulas_in_a_csv_file() -> None:
    entries, _, _, _ = lived([("earn", "ann", 5)])
    told = csv_entries().write([entries[0].__class__(**{**_fields(entries[0]), "reason": "=1+1"})])
    assert b",'=1+1," in told


def _fields(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__}


@pytest.fixture
def now() -> SetClock:
    return SetClock(to_micros(system_clock()))


@pytest.fixture
async def club(configure: Callable[..., Any], keyring: Keyring, now: SetClock) -> AsyncIterator[Club]:
    async with (
        serve(configure(Settings, profiles_addr=NOBODY), now) as up,
        grpc.aio.insecure_channel(up.address) as channel,
    ):
        client = Club(LoyaltyServiceStub(channel), keyring.header())
        await client.open()
        yield client


async def test_a_report_says_what_points_cost_once_somebody_has_said_it(club: Club, now: SetClock) -> None:
    await club.earn(1000)
    await club.burn(400)
    today = from_micros(now.micros).date()
    asked = report_pb2.GetLoyaltyReportRequest(
        program_id="club",
        first_date=(today - timedelta(days=6)).isoformat(),
        last_date=today.isoformat(),
        interval=report_pb2.REPORT_INTERVAL_WEEK,
    )
    report = (await club.stub.GetLoyaltyReport(asked, metadata=club.metadata)).report
    assert report.complete
    assert (report.liability.spendable_points, report.liability.HasField("amount_minor")) == (600, False)
    assert (report.total.issued_points, report.total.burned_points, report.total.entry_count) == (1000, 400, 2)
    assert [(tier.tier_id, tier.member_count) for tier in report.tiers if tier.member_count] == [("gold", 1)]
    assert not report.forecast
    assert not report.breakage.HasField("expected_points")
    assert sum(each.points for each in report.expiring_months) == 600  # valid for twelve months

    cost = report_pb2.PointCost(program_id="club", cost_per_1000_points_minor=555, gross_margin_share=4000)
    setting = report_pb2.SetPointCostRequest(cost=cost, request_id="cost")
    first = await club.stub.SetPointCost(setting, metadata=club.metadata)
    assert await club.stub.SetPointCost(setting, metadata=club.metadata) == first
    report = (await club.stub.GetLoyaltyReport(asked, metadata=club.metadata)).report
    assert report.liability.amount_minor == 333  # 600 points at 0.555
    assert report.program_return.points_cost_minor == 222
    assert report.program_return.return_share == pytest.approx(-1.0)  # nobody ordered anything


async def test_the_ledger_is_streamed_as_a_file(club: Club) -> None:
    for at in range(5):
        await club.earn(at + 1)
    asked = report_pb2.ExportLedgerRequest(program_id="club", format=report_pb2.LEDGER_FILE_FORMAT_CSV)
    parts = [part.content async for part in club.stub.ExportLedger(asked, metadata=club.metadata)]
    rows = list(csv.DictReader(io.StringIO(b"".join(parts).decode())))
    assert [row["points"] for row in rows] == ["1", "2", "3", "4", "5"]
    asked.end_time.CopyFrom(Timestamp(seconds=1))
    parts = [part.content async for part in club.stub.ExportLedger(asked, metadata=club.metadata)]
    assert len(b"".join(parts).splitlines()) == 1  # the header alone
    asked.program_id = "none"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await club.stub.ExportLedger(asked, metadata=club.metadata).read()
    info = error_info(refused.value)
    assert info is not None
    assert info.reason == "PROGRAM_NOT_FOUND"


def test_points_cost_what_is_said_rounded_half_up() -> None:
    cost = PointCost(program_id="club", per_1000_minor=5, margin_share=2500)
    assert [cost.of(points) for points in (99, 100, 1000)] == [0, 1, 5]
    assert cost.margin_of(1001) == 250
