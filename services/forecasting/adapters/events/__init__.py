"""Following profiles' events: each becomes an activity, and ``Order Completed`` the lines of one order too."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import msgspec
import pyarrow as pa
from tessera.profiles.v1.profiles_service_pb2 import Change, FollowChangesRequest, FollowChangesResponse
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common import telemetry
from services.common.feed import follow
from services.common.money import decimals
from services.forecasting.adapters.activities import ORDER_COMPLETED
from services.forecasting.adapters.erasures import Erasure
from services.forecasting.adapters.events.activities import activities
from services.forecasting.adapters.lines import FOLLOWER, ORDER_LINES, ColumnarLines
from services.forecasting.adapters.moved import Move, MovedCustomers

log = logging.getLogger(__name__)

Erase = Callable[[Erasure], Awaitable[None]]
"""Removes everything of a person and says so; again, it changes nothing."""

_AMOUNT_MINOR_MAX = 2**53


class _Product(msgspec.Struct):
    product_id: str
    price: float
    quantity: float = 1.0
    total: float | None = None
    category: Any = ""


class _Order(msgspec.Struct):
    order_id: str
    currency: str
    products: list[_Product]
    total: float | None = None
    store_id: Any = ""


_decode = msgspec.json.Decoder(_Order).decode


async def follow_events(channel: grpc.aio.Channel, lines: ColumnarLines, erase: Erase, moved: MovedCustomers) -> None:
    """Append what profiles records, and follow merges and erasures, for ever.

    (The cursor has another name than when orders alone were followed: a service of then reads the feed once more, and
    the orders that it has stay as they are.)
    """
    profiles = ProfilesServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[FollowChangesResponse]:
        request = FollowChangesRequest(after_cursor=cursor)
        async for batch in profiles.FollowChanges(request):
            yield batch

    async def apply(batch: FollowChangesResponse) -> None:
        await apply_changes(batch, lines, erase, moved)

    async def load_cursor() -> str:
        await moved.settle()  # what a process before this one did not come to
        return await lines.cursor()

    await follow(FOLLOWER, load_cursor, stream, apply)


async def apply_changes(
    batch: FollowChangesResponse, lines: ColumnarLines, erase: Erase, moved: MovedCustomers
) -> None:
    """Apply a batch of profiles' feed. Again, it changes nothing."""
    erasures = list(_erasures(batch.changes))
    gone = {(each.tenant, origin) for each in erasures for origin in each.origin_ids}
    for each in erasures:
        await erase(each)
    owners = {origin: owner for origin, owner in _owners(batch.changes).items() if origin not in gone}
    await moved.note(list(_moves(batch.changes)))
    seen = activities(batch.changes, gone)
    await lines.append(order_lines(batch.changes, gone), batch.cursor, owners, seen)
    await moved.settle()


def _erasures(changes: Sequence[Change]) -> Iterator[Erasure]:
    for change in changes:
        if change.WhichOneof("kind") == "customer_erased":
            gone = change.customer_erased
            ids = frozenset({gone.customer_id, *gone.origin_customer_ids})
            yield Erasure(change.tenant_id, gone.erasure_id, ids, gone.pseudonym)


def _owners(changes: Sequence[Change]) -> dict[tuple[str, str], str]:
    """To whom origins of a tenant belong after the changes, where these say so."""
    owners: dict[tuple[str, str], str] = {}
    for change in changes:
        match change.WhichOneof("kind"):
            case "customers_merged":
                merged = change.customers_merged
                owners |= {(change.tenant_id, it): merged.customer_id for it in merged.origin_customer_ids}
            case "customers_unmerged":
                parted = change.customers_unmerged
                owners |= {(change.tenant_id, it): parted.restored_customer_id for it in parted.origin_customer_ids}
    return owners


def _moves(changes: Sequence[Change]) -> Iterator[Move]:
    for change in changes:
        match change.WhichOneof("kind"):
            case "customers_merged":
                merged = change.customers_merged
                yield Move(change.tenant_id, merged.merged_customer_id, merged.customer_id)
            case "customers_unmerged":
                parted = change.customers_unmerged
                yield Move(change.tenant_id, parted.customer_id, parted.restored_customer_id)


def order_lines(changes: Sequence[Change], without: Container[tuple[str, str]] = ()) -> pa.Table:
    """The lines of the orders among ``changes``, as rows of the table, ``without`` those of some tenants' origins."""
    rows = _Rows()
    for change in changes:
        event = change.event_recorded
        origin = event.origin_customer_id or event.customer_id
        # What an anonymised person bought is there already, under the same pseudonym.
        if event.name != ORDER_COMPLETED or event.anonymised or (change.tenant_id, origin) in without:
            continue
        time = event.event_time
        micros = time.seconds * 1_000_000 + time.nanos // 1000
        try:
            order = _decode(event.properties_json)
            amounts = _amounts(order)
            listed = _listed(order, amounts)
        except (msgspec.MsgspecError, OverflowError) as error:
            # Profiles checks orders before it records them. Should one get through, it must not stop all others.
            log.error("order event %s of tenant %s is left out: %s", event.message_id, change.tenant_id, error)
            telemetry.counter("forecasting.orders.skipped").add(1)
            continue
        rows.add(
            (change.tenant_id, event.message_id, micros, order.order_id, event.customer_id, origin),
            order,
            amounts,
            listed,
        )
    return rows.table()


def _amounts(order: _Order) -> list[int]:
    """The line amounts in minor units; of an order without lines, what was paid."""
    scale = 10 ** decimals(order.currency)
    if not order.products:
        return [_bounded(round((order.total or 0.0) * scale))]
    return [
        _bounded(round((line.price * line.quantity if line.total is None else line.total) * scale))
        for line in order.products
    ]


def _listed(order: _Order, amounts: Sequence[int]) -> list[int]:
    """What the lines would have cost without discounts, in minor units; never less than what they did."""
    scale = 10 ** decimals(order.currency)
    if not order.products:
        return list(amounts)
    full = [_bounded(round(line.price * line.quantity * scale)) for line in order.products]
    return [max(price, paid) for price, paid in zip(full, amounts, strict=True)]


def _bounded(amount: int) -> int:
    if abs(amount) > _AMOUNT_MINOR_MAX:
        raise OverflowError(f"the amount {amount} cannot be kept exactly")
    return amount


# An order without lines is kept as one line without a product, so that it counts as an order.
_NO_PRODUCT = [_Product(product_id="", price=0.0, quantity=0.0)]


@dataclass(slots=True)
class _Rows:
    """Columns in the making, in the order of the table."""

    heads: tuple[list[Any], ...] = field(default_factory=lambda: tuple([] for _ in range(6)))
    product: list[str] = field(default_factory=list)
    category: list[str] = field(default_factory=list)
    store: list[str] = field(default_factory=list)
    quantity: list[float] = field(default_factory=list)
    amount: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    currency: list[str] = field(default_factory=list)
    opens_order: list[int] = field(default_factory=list)
    opens_category: list[int] = field(default_factory=list)

    def add(self, head: tuple[Any, ...], order: _Order, amounts: list[int], listed: list[int]) -> None:
        products = order.products or _NO_PRODUCT
        count = len(products)
        categories = [it.category if type(it.category) is str else "" for it in products]
        seen: set[str] = set()
        for column, value in zip(self.heads, head, strict=True):
            column.extend([value] * count)
        self.product.extend([it.product_id for it in products])
        self.category.extend(categories)
        self.store.extend([str(order.store_id or "")] * count)
        self.quantity.extend([it.quantity for it in products])
        self.amount.extend(amounts)
        self.listed.extend(listed)
        self.currency.extend([order.currency] * count)
        self.opens_order.append(1)
        self.opens_order.extend([0] * (count - 1))
        for name in categories:
            self.opens_category.append(0 if name in seen else 1)
            seen.add(name)

    def table(self) -> pa.Table:
        columns = [
            *self.heads, self.product, self.category, self.store, self.quantity, self.amount, self.listed,
            self.currency,
            self.opens_order, self.opens_category,
        ]  # fmt: skip
        return pa.Table.from_arrays(
            [pa.array(column, type=kind) for column, kind in zip(columns, ORDER_LINES.schema.types, strict=True)],
            schema=ORDER_LINES.schema,
        )
