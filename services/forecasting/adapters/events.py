"""Following profiles' orders: each ``Order Completed`` becomes the lines of one order."""

import logging
from collections.abc import AsyncIterator, Sequence
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
from services.forecasting.adapters.lines import FOLLOWER, ORDER_LINES, ColumnarLines

log = logging.getLogger(__name__)

ORDER_COMPLETED = "Order Completed"
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


async def follow_orders(channel: grpc.aio.Channel, lines: ColumnarLines) -> None:
    """Append the lines of every order that profiles records, for ever."""
    profiles = ProfilesServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[FollowChangesResponse]:
        request = FollowChangesRequest(after_cursor=cursor, event_names=[ORDER_COMPLETED])
        async for batch in profiles.FollowChanges(request):
            yield batch

    async def apply(batch: FollowChangesResponse) -> None:
        await lines.append(order_lines(batch.changes), batch.cursor)

    await follow(FOLLOWER, lines.cursor, stream, apply)


def order_lines(changes: Sequence[Change]) -> pa.Table:
    """The lines of the orders among ``changes``, as rows of the table."""
    rows = _Rows()
    for change in changes:
        event = change.event_recorded
        if event.name != ORDER_COMPLETED:
            continue
        time = event.event_time
        micros = time.seconds * 1_000_000 + time.nanos // 1000
        try:
            order = _decode(event.properties_json)
            amounts = _amounts(order)
        except (msgspec.MsgspecError, OverflowError) as error:
            # Profiles checks orders before it records them. Should one get through, it must not stop all others.
            log.error("order event %s of tenant %s is left out: %s", event.message_id, change.tenant_id, error)
            telemetry.counter("forecasting.orders.skipped").add(1)
            continue
        rows.add((change.tenant_id, event.message_id, micros, order.order_id, event.customer_id), order, amounts)
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


def _bounded(amount: int) -> int:
    if abs(amount) > _AMOUNT_MINOR_MAX:
        raise OverflowError(f"the amount {amount} cannot be kept exactly")
    return amount


# An order without lines is kept as one line without a product, so that it counts as an order.
_NO_PRODUCT = [_Product(product_id="", price=0.0, quantity=0.0)]


@dataclass(slots=True)
class _Rows:
    """Columns in the making, in the order of the table."""

    heads: tuple[list[Any], ...] = field(default_factory=lambda: tuple([] for _ in range(5)))
    product: list[str] = field(default_factory=list)
    category: list[str] = field(default_factory=list)
    store: list[str] = field(default_factory=list)
    quantity: list[float] = field(default_factory=list)
    amount: list[int] = field(default_factory=list)
    currency: list[str] = field(default_factory=list)
    opens_order: list[int] = field(default_factory=list)
    opens_category: list[int] = field(default_factory=list)

    def add(self, head: tuple[Any, ...], order: _Order, amounts: list[int]) -> None:
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
        self.currency.extend([order.currency] * count)
        self.opens_order.append(1)
        self.opens_order.extend([0] * (count - 1))
        for name in categories:
            self.opens_category.append(0 if name in seen else 1)
            seen.add(name)

    def table(self) -> pa.Table:
        columns = [
            *self.heads, self.product, self.category, self.store, self.quantity, self.amount, self.currency,
            self.opens_order, self.opens_category,
        ]  # fmt: skip
        return pa.Table.from_arrays(
            [pa.array(column, type=kind) for column, kind in zip(columns, ORDER_LINES.schema.types, strict=True)],
            schema=ORDER_LINES.schema,
        )
