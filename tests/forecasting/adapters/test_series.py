"""Visits, active customers and events, as DuckDB, a real Spark and plain Python count them."""

import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation

from services.common.clock import from_micros, to_micros
from services.common.columnar import Columnar, open_columnar
from services.forecasting.adapters.activities import LOOKING, ColumnarActivities
from services.forecasting.adapters.events import order_lines
from services.forecasting.adapters.events.activities import activities
from services.forecasting.adapters.events.memberships import moves
from services.forecasting.adapters.events.sends import sent
from services.forecasting.adapters.lines import SERIES_TABLES, ColumnarLines
from services.forecasting.adapters.memberships import ColumnarMemberships
from services.forecasting.adapters.sends import ColumnarSends
from services.forecasting.app import Settings
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.series import DimensionInvalid, EventNameInvalid, Selection
from services.forecasting.handlers.get_series import get_series
from tests.forecasting.conftest import instant, line, properties, timestamp

MONDAY = instant("2026-03-02T09:00")
SENDS = (Measure.SENDS, Dimension.TOTAL, Granularity.DAY)
HALF_AN_HOUR = timedelta(minutes=30)


def did(number: object, who: str, time: datetime, name: str, origin: str = "", **said: Any) -> profiles.Change:
    event = profiles.RecordedEvent(
        message_id=f"m{number}",
        type=profiles.EVENT_TYPE_TRACK,
        name=name,
        customer_id=who,
        origin_customer_id=origin or who,
        event_time=timestamp(time),
        properties_json=json.dumps(said),
    )
    return profiles.Change(tenant_id="acme", event_recorded=event)


def bought(number: object, who: str, time: datetime, amount: float, **more: Any) -> profiles.Change:
    content = json.loads(properties(f"o{number}", [line("1", amount, "FOOD")], **more))
    return did(number, who, time, "Order Completed", **content)


def moved(who: str, segment: str, time: datetime, *, entered: bool, cursor: str) -> segmentation.MembershipChange:
    transition = segmentation.TRANSITION_ENTERED if entered else segmentation.TRANSITION_LEFT
    return segmentation.MembershipChange(
        tenant_id="acme",
        segment_id=segment,
        customer_id=who,
        transition=transition,
        change_time=timestamp(time),
        cursor=cursor,
    )


@dataclass
class Kept:
    """What series are made of, without a server."""

    lines: ColumnarLines
    activities: ColumnarActivities
    memberships: ColumnarMemberships
    sends: ColumnarSends
    cursor: int = 0

    async def hear(
        self, changes: Sequence[profiles.Change] = (), owners: dict[tuple[str, str], str] | None = None
    ) -> None:
        self.cursor += 1
        await self.lines.append(order_lines(changes), f"c{self.cursor}", owners, activities(changes))

    async def told(self, *changes: segmentation.MembershipChange) -> None:
        self.cursor += 1
        batch = segmentation.FollowMembershipsResponse(changes=changes, cursor=f"c{self.cursor}")
        await self.memberships.apply(moves(batch), batch.cursor)

    async def figures(
        self,
        measure: Measure,
        dimension: Dimension = Dimension.TOTAL,
        granularity: Granularity = Granularity.DAY,
        **more: Any,
    ) -> dict[tuple[str, str], float]:
        """Those that are not zero, by value and the day on which the period begins."""
        panel = await get_series(self.lines, "acme", Selection(measure, dimension, granularity, **more))
        assert panel is not None
        begins = [f"{from_micros(start):%m-%d}" for start in panel.periods.starts[:-1]]
        return {
            (value, begin): figure
            for value, row in zip(panel.values, panel.figures.tolist(), strict=True)
            for begin, figure in zip(begins, row, strict=True)
            if figure
        }


def kept_in(columnar: Columnar) -> Kept:
    activities, memberships = ColumnarActivities(columnar), ColumnarMemberships(columnar)
    return Kept(ColumnarLines(columnar), activities, memberships, ColumnarSends(columnar))


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.timeout(300)])])
async def engines(request: pytest.FixtureRequest, configure: Callable[..., Any]) -> AsyncIterator[Kept]:
    url = request.getfixturevalue("spark_url") if request.param == "spark" else None

    class Own(Settings):
        service = f"g{abs(hash(request.node.nodeid))}"

    async with open_columnar(configure(Own, analytics_url=url), SERIES_TABLES) as columnar:
        yield kept_in(columnar)


@pytest.fixture
async def kept(configure: Callable[..., Any]) -> AsyncIterator[Kept]:
    async with open_columnar(configure(Settings), SERIES_TABLES) as columnar:
        yield kept_in(columnar)


def strolls(seed: int, count: int = 400) -> list[tuple[str, datetime]]:
    """Whoever looked at something and when, in no order."""
    random_ = random.Random(seed)
    minutes = [random_.choice([0, 1, 29, 30, 31, 600, random_.randrange(20_000)]) for _ in range(count)]
    starts = [MONDAY + timedelta(minutes=random_.randrange(20_000)) for _ in range(40)]
    return [(f"c{random_.randrange(5)}", random_.choice(starts) + timedelta(minutes=it)) for it in minutes]


def begun(looks: Sequence[tuple[str, datetime]]) -> dict[tuple[str, datetime], datetime]:
    """When the visit began of which a look is."""
    found: dict[tuple[str, datetime], datetime] = {}
    last: dict[str, tuple[datetime, datetime]] = {}
    for who, time in sorted(looks):
        before, start = last.get(who, (datetime.min.replace(tzinfo=time.tzinfo), time))
        start = start if time - before <= HALF_AN_HOUR else time
        last[who] = (time, start)
        found[who, time] = start
    return found


async def test_both_engines_count_visits_customers_and_channels_as_plain_python_does(engines: Kept) -> None:
    looks = strolls(1)
    await engines.hear([did(n, who, time, "Product Viewed") for n, (who, time) in enumerate(looks)])
    starts = {(who, start) for (who, _), start in begun(looks).items()}
    expected: dict[tuple[str, str], int] = {}
    for _, start in starts:
        key = ("", f"{start:%m-%d}")
        expected[key] = expected.get(key, 0) + 1
    assert await engines.figures(Measure.VISITS) == expected
    weeks: dict[tuple[str, str], set[str]] = {}
    for who, time in looks:
        monday = time - timedelta(days=time.weekday())
        weeks.setdefault(("", f"{monday:%m-%d}"), set()).add(who)
    found = await engines.figures(Measure.ACTIVE_CUSTOMERS, granularity=Granularity.WEEK)
    assert found == {key: len(people) for key, people in weeks.items()}
    await engines.hear([bought("a", "c1", MONDAY, 3.0, channel="app"), bought("b", "c2", MONDAY, 4.0)])
    await engines.told(moved("c2", "vip", MONDAY - timedelta(days=1), entered=True, cursor="1"))
    assert await engines.figures(Measure.SALES, Dimension.CHANNEL) == {("app", "03-02"): 300, ("", "03-02"): 400}
    assert await engines.figures(Measure.SALES, Dimension.SEGMENT) == {("vip", "03-02"): 400}


@pytest.mark.parametrize("seed", range(2, 6))
async def test_a_visit_counts_once_for_each_category_that_it_touches(kept: Kept, seed: int) -> None:
    looks = list(dict.fromkeys(strolls(seed, 150)))
    random_ = random.Random(seed)
    about = [(look, random_.choice("AB")) for look in looks]
    changes = [
        did(n, who, time, random_.choice(sorted(LOOKING)), category=category)
        for n, ((who, time), category) in enumerate(about)
    ]
    await kept.hear(changes)
    visit = begun(looks)
    once = {(category, look[0], visit[look]) for look, category in about}
    expected: dict[tuple[str, str], int] = {}
    for category, _, start in once:
        key = (category, f"{start:%m-%d}")
        expected[key] = expected.get(key, 0) + 1
    assert await kept.figures(Measure.VISITS, Dimension.CATEGORY) == expected


async def test_a_visit_over_midnight_belongs_to_the_day_on_which_it_began(kept: Kept) -> None:
    late = instant("2026-03-02T23:50")
    steps = [late + timedelta(minutes=20 * step) for step in range(3)]
    await kept.hear([did(n, "ann", time, "Product Viewed") for n, time in enumerate(steps)])
    await kept.hear([did("x", "ben", late + timedelta(days=2), "Email Opened")])
    assert await kept.figures(Measure.VISITS) == {("", "03-02"): 1}
    first, end = to_micros(instant("2026-03-03")), to_micros(instant("2026-03-04"))
    selection = Selection(Measure.VISITS, Dimension.TOTAL, Granularity.DAY)
    later = await get_series(kept.lines, "acme", selection, first, end)
    assert later is not None
    assert later.figures.tolist() == [[0.0]]  # seen from the next day alone it is no visit of that day either


async def test_pages_and_screens_are_looked_at_and_mails_are_not(kept: Kept) -> None:
    page = did("p", "ann", MONDAY, "Home")
    page.event_recorded.type = profiles.EVENT_TYPE_PAGE
    identified = did("i", "cat", MONDAY, "Identify")
    identified.event_recorded.type = profiles.EVENT_TYPE_IDENTIFY
    await kept.hear([page, identified, did("m", "ben", MONDAY, "Email Opened"), bought("o", "dan", MONDAY, 1.0)])
    assert await kept.figures(Measure.VISITS) == {("", "03-02"): 1}
    assert await kept.figures(Measure.ACTIVE_CUSTOMERS) == {("", "03-02"): 2}
    assert await kept.figures(Measure.EVENTS, event_name="Email Opened") == {("", "03-02"): 1}
    assert await kept.activities.count("acme") == 3
    assert await kept.activities.count("other") == 0


async def test_an_event_counts_once_in_total_and_once_for_each_category_and_product_that_it_names(kept: Kept) -> None:
    products = [{"product_id": "1", "category": "A"}, {"product_id": 2, "category": "A"}, {"product_id": "1"}, "odd"]
    await kept.hear([did("a", "ann", MONDAY, "Cart Viewed", products=products, store_id=7, channel="web")])
    await kept.hear([did("b", "ann", MONDAY, "Cart Viewed", products="none", channel=["odd"])])

    async def by(dimension: Dimension) -> dict[str, float]:
        found = await kept.figures(Measure.EVENTS, dimension, event_name="Cart Viewed")
        return {value: figure for (value, _), figure in found.items()}

    assert await by(Dimension.TOTAL) == {"": 2}
    assert await by(Dimension.CATEGORY) == {"A": 1, "": 2}
    assert await by(Dimension.PRODUCT) == {"1": 1, "2": 1, "": 1}
    assert await by(Dimension.STORE) == {"7": 1, "": 1}
    assert await by(Dimension.CHANNEL) == {"web": 1, "": 1}


async def test_a_batch_that_comes_again_changes_nothing_and_a_merge_makes_one_customer_of_two(kept: Kept) -> None:
    looks = [did("a", "ann", MONDAY, "Cart Viewed"), did("b", "ben", MONDAY + timedelta(minutes=5), "Cart Viewed")]
    await kept.hear(looks)
    await kept.hear(looks)
    assert await kept.figures(Measure.VISITS) == {("", "03-02"): 2}
    await kept.hear(owners={("acme", "ben"): "ann"})
    assert await kept.figures(Measure.VISITS) == {("", "03-02"): 1}
    assert await kept.figures(Measure.ACTIVE_CUSTOMERS) == {("", "03-02"): 1}
    await kept.hear(owners={("acme", "ben"): "ben"})
    assert await kept.figures(Measure.ACTIVE_CUSTOMERS) == {("", "03-02"): 2}


async def test_a_segment_has_what_its_members_of_the_time_bought(kept: Kept) -> None:
    days = [MONDAY + timedelta(days=day) for day in range(6)]
    for who, amount in (("ann", 1.0), ("ben", 10.0), ("cat", 100.0)):
        await kept.hear([bought(f"{who}{n}", who, day, amount) for n, day in enumerate(days)])
    first = days[1] + timedelta(hours=1)
    await kept.told(
        moved("ann", "vip", first, entered=True, cursor="1"),
        moved("cat", "vip", days[2] + timedelta(hours=1), entered=True, cursor="2"),
        moved("ann", "vip", days[3] + timedelta(hours=1), entered=False, cursor="3"),
        moved("dan", "vip", days[3] + timedelta(hours=1), entered=False, cursor="4"),  # never entered
    )
    sold = {day: figure for (_, day), figure in (await kept.figures(Measure.SALES, Dimension.SEGMENT)).items()}
    # Ann was found first and counts before; Cat came on the third day, Ann left on the fourth.
    assert sold == {"03-02": 100, "03-03": 100, "03-04": 100, "03-05": 10_100, "03-06": 10_000, "03-07": 10_000}
    assert await kept.memberships.count("acme", ["dan"]) == 0
    # Ben is Ann from the beginning: what Ben bought while Ann was in it counts too, and nothing twice.
    await kept.told(moved("ben", "vip", days[2], entered=True, cursor="5"))
    await kept.hear(owners={("acme", "ben"): "ann"})
    sold = {day: figure for (_, day), figure in (await kept.figures(Measure.SALES, Dimension.SEGMENT)).items()}
    assert sold == {
        day: figure + 1000 + (100 if day >= "03-06" else 0) for day, figure in sold_by_cat_and_ann().items()
    }
    assert await kept.figures(Measure.ORDERS, Dimension.SEGMENT, values=("none",)) == {}


def sold_by_cat_and_ann() -> dict[str, float]:
    return {"03-02": 100, "03-03": 100, "03-04": 100, "03-05": 10_100, "03-06": 10_000, "03-07": 10_000}


async def test_erasing_a_person_changes_no_figure_and_keeps_nothing_of_their_segments(kept: Kept) -> None:
    shopping = [
        did("v", "ann", MONDAY, "Product Viewed", channel="web"),
        bought("o", "ann", MONDAY, 2.0, channel="web"),
    ]
    await kept.hear(shopping)
    await kept.told(moved("ann", "vip", MONDAY, entered=True, cursor="1"))
    asked = [(Measure.VISITS, Dimension.TOTAL), (Measure.SALES, Dimension.CHANNEL)]
    before = [await kept.figures(*it) for it in asked]
    await kept.lines.pseudonymise("acme", "e1", ["ann", "ben"], "nobody-7")
    assert [await kept.figures(*it) for it in asked] == before
    assert await kept.activities.of_customer("acme", ["ann"], 0, 10) == []
    assert len(await kept.activities.of_customer("acme", ["nobody-7"], 0, 10)) == 2
    assert await kept.memberships.count("acme", ["ann"]) == 0
    await kept.told(moved("ann", "vip", MONDAY, entered=False, cursor="2"))  # segmentation hears of it too
    assert await kept.memberships.count("acme", ["ann"]) == 0


async def test_events_need_a_name_and_nothing_else_has_one() -> None:
    with pytest.raises(EventNameInvalid, match="say which events"):
        Selection(Measure.EVENTS, Dimension.TOTAL, Granularity.DAY)
    with pytest.raises(EventNameInvalid, match="SALES is not a number of events"):
        Selection(Measure.SALES, Dimension.TOTAL, Granularity.DAY, event_name="Email Opened")


async def test_what_crm_sent_is_counted_once_and_known_up_to_the_newest_event(kept: Kept) -> None:
    def entered(number: int, time: datetime, state: crm.MessageState.ValueType, tenant: str = "acme") -> Any:
        return crm.MessageEvent(tenant_id=tenant, message_id=f"x{number}", state=state, event_time=timestamp(time))

    later = MONDAY + timedelta(days=2)
    events = [
        entered(1, MONDAY, crm.MESSAGE_STATE_QUEUED),
        entered(1, MONDAY, crm.MESSAGE_STATE_SENT),
        entered(2, MONDAY, crm.MESSAGE_STATE_SENT),
        entered(3, MONDAY, crm.MESSAGE_STATE_FAILED),
        entered(4, later, crm.MESSAGE_STATE_SENT),
        entered(5, later, crm.MESSAGE_STATE_SENT, "other"),
    ]
    batch, selection = crm.FollowMessagesResponse(events=events, cursor="7"), Selection(*SENDS)
    assert await get_series(kept.lines, "acme", selection) is None
    for _ in range(2):
        await kept.sends.apply(sent(batch), batch.cursor)
    assert await kept.sends.cursor() == (await kept.lines.status("acme")).sends_cursor == "7"
    assert await kept.figures(*SENDS) == {("", "03-02"): 2, ("", "03-04"): 1}
    await kept.hear([did(1, "ann", MONDAY + timedelta(days=5), "Product Viewed")])
    panel = await get_series(kept.lines, "acme", selection)
    assert panel is not None
    assert (len(panel.periods), panel.complete_count()) == (6, 5)
    with pytest.raises(DimensionInvalid, match="not by CHANNEL"):
        Selection(Measure.SENDS, Dimension.CHANNEL, Granularity.DAY)
