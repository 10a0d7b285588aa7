"""Interactions of every kind as events of one form, and their decayed counts."""

import math
from collections.abc import Iterable, Sequence

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from services.common.columnar import Columnar, of_tenant
from services.recommendation.adapters.interactions import DAY_MICROS, INTERACTIONS
from services.recommendation.adapters.tables import FEEDBACK, SIGNALS
from services.recommendation.domain.demand import Fading
from services.recommendation.domain.feedback import FeedbackKind
from services.recommendation.domain.signals import SignalKind
from services.recommendation.domain.tally import Counting, InteractionKind, Part

LN_2 = math.log(2)
HALF_LIVES_READ = 20
"""What is older than so many (slow) half-lives counts less than a millionth, and is not read."""
_MEMBERS = pa.schema([("customer_id", pa.string())])
_ = ibis._
SUMS = ((_.fast * LN_2).exp().sum().name("fast"), (_.slow * LN_2).exp().sum().name("slow"))
SIGNAL_OF = {InteractionKind.CART: SignalKind.CART, InteractionKind.VIEW: SignalKind.VIEW}


def decayed(events: ir.Table, fading: Fading, landmark: int) -> "ir.GroupedTable":
    """Events by item, each with the half-lives that it is from the landmark, to be summed up by ``SUMS``."""
    age = (events.time - landmark).cast("float64")
    halves = {"fast": (age / fading.fast).clip(-1000, 1000), "slow": (age / fading.slow).clip(-1000, 1000)}
    return events.mutate(**halves).group_by("item_id")


def sums_of(found: pa.Table) -> Iterable[tuple[str, float, float]]:
    """The rows of such sums."""
    return zip(*(found[name].to_pylist() for name in ("item_id", "fast", "slow")), strict=True)


class DemandEvents:
    """Reads purchases, carts, views and clicks alike."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def counted(self, tenant: str, counting: Counting, customer_ids: Sequence[str] | None) -> Part:
        """The counts of one kind of everybody or, where they are named, of some customers."""
        events, given = self._events(tenant, counting.kind), None
        if customer_ids is not None:
            events = events.semi_join(ibis.table(ibis.Schema.from_pyarrow(_MEMBERS), name="members"), "customer_id")
            given = {"members": pa.table([list(customer_ids)], schema=_MEMBERS)}
        edge = await self._columnar.execute(events.aggregate(newest=_.time.max()), given)
        newest = edge["newest"][0].as_py() or 0
        reach = min(counting.window or 2**62, HALF_LIVES_READ * counting.fading.slow)
        recent = _once_a_day(events.filter(_.time >= newest - reach), counting.kind)
        counted = decayed(recent, counting.fading, newest).aggregate(*SUMS)
        found = await self._columnar.execute(counted, given)
        return Part(counting, {item_id: (fast, slow) for item_id, fast, slow in sums_of(found)}, newest)

    def _events(self, tenant: str, kind: InteractionKind) -> ir.Table:
        """Items with who did it, by the ids of customers, or of visitors in ``subject``, and when."""
        if kind is InteractionKind.PURCHASE:
            lines = of_tenant(self._columnar.table(INTERACTIONS), tenant).filter(_.quantity > 0)
            return lines.select("item_id", "customer_id", "time", subject=_.customer_id)
        if kind is InteractionKind.CLICK:
            told = of_tenant(self._columnar.table(FEEDBACK), tenant).filter(_.kind == int(FeedbackKind.CLICK))
            # Whoever is not named at all is known by the list that they saw.
            subject = (_.subject == "").ifelse(_.recommendation_id, _.subject)
            return told.select("item_id", "customer_id", "time", subject=subject)
        shown = of_tenant(self._columnar.table(SIGNALS), tenant).filter(_.kind == int(SIGNAL_OF[kind]))
        return shown.select("item_id", "customer_id", "time", subject=_.customer_id)


def _once_a_day(events: ir.Table, kind: InteractionKind) -> ir.Table:
    """What costs nothing counts once a day for each person, so that whoever reloads a page all day counts once."""
    if kind is InteractionKind.PURCHASE:
        return events
    days = events.mutate(day=(_.time // DAY_MICROS).cast("int64")).group_by("item_id", "subject", "day")
    return days.aggregate(time=_.time.max())
