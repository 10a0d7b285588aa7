"""Drivers and holiday calendars as documents, and the values of drivers in the analytical engine."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from services.common.columnar import Columnar, Keep, Table, of_tenant
from services.common.store import Collection, Delete, Document, Put, Query, Store
from services.forecasting.domain.drivers import (
    DRIVERS_MAX,
    Driver,
    DriverDays,
    DriverSource,
    DriverSpan,
    day_number,
    day_of,
)
from services.forecasting.domain.holidays import HolidayCalendar
from services.forecasting.domain.mixes import Scope

FOLLOWER = "forecasting.drivers"
DRIVERS, CALENDARS = Collection("drivers"), Collection("holiday_calendars")
COLLECTIONS = (DRIVERS, CALENDARS)
_ONE = "calendar"
DRIVER_VALUES = Table(
    "driver_values",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("driver_id", pa.string()),
            ("dimension", pa.int64()),
            ("value", pa.string()),
            ("day", pa.int64()),
            # Null where it was withdrawn.
            ("number", pa.float64()),
        ]
    ),
    key=("tenant", "driver_id", "dimension", "value", "day"),
    keep=Keep.LAST,
)


class StoredDrivers:
    """The port ``Drivers``. A driver's document has its name as id; its values hang on ``driver_id``."""

    def __init__(self, store: Store, columnar: Columnar) -> None:
        self._store, self._columnar = store, columnar

    async def put(self, tenant: str, driver: Driver) -> None:
        body = {
            "driver_id": driver.driver_id,
            "source": int(driver.source),
            "default": driver.default,
            "required_ahead": driver.required_ahead,
        }
        await self._store.commit([Put(tenant, DRIVERS, driver.name, body)])

    async def delete(self, tenant: str, name: str) -> None:
        await self._store.commit([Delete(tenant, DRIVERS, name)])

    async def all(self, tenant: str) -> list[Driver]:
        page = await self._store.find(tenant, DRIVERS, Query(limit=DRIVERS_MAX + 1))
        return sorted(map(_driver, page.documents), key=lambda it: it.name)

    async def spans(self, tenant: str) -> dict[str, tuple[date, date]]:
        values = self._values(tenant)
        query = values.group_by("driver_id").aggregate(first=values.day.min(), last=values.day.max())
        rows = (await self._columnar.execute(query)).to_pylist()
        return {row["driver_id"]: (day_of(row["first"]), day_of(row["last"])) for row in rows}

    async def record(self, tenant: str, request_id: str, spans: Sequence[tuple[str, DriverSpan]]) -> int:
        newest: dict[tuple[str, int, str, int], float | None] = {}
        for driver_id, span in spans:
            first = day_number(span.first)
            for day in range(first, first + span.days):
                newest[driver_id, int(span.dimension), span.value, day] = span.number
        columns = [list(column) for column in zip(*newest, strict=True)]
        table = pa.Table.from_arrays(
            [
                pa.array(column, type=kind)
                for column, kind in zip(
                    [[tenant] * len(newest), *columns, list(newest.values())], DRIVER_VALUES.schema.types, strict=True
                )
            ],
            schema=DRIVER_VALUES.schema,
        )
        await self._columnar.append({DRIVER_VALUES: table}, f"{FOLLOWER}.{tenant}", request_id)
        return len(newest)

    async def days(self, tenant: str, driver_ids: Sequence[str], scopes: Sequence[Scope], end: int) -> DriverDays:
        values = self._values(tenant)
        by_dimension: dict[int, list[str]] = {}
        for dimension, value in scopes:
            by_dimension.setdefault(int(dimension), []).append(value)
        theirs = [(values.dimension == number) & values.value.isin(names) for number, names in by_dimension.items()]
        chosen = values.filter(values.driver_id.isin(driver_ids), values.day < end, ibis.or_(*theirs))
        table = await self._columnar.execute(chosen.select("driver_id", "dimension", "value", "day", "number"))
        return DriverDays(
            table["driver_id"].to_pylist(),
            table["dimension"].to_pylist(),
            table["value"].to_pylist(),
            table["day"].to_numpy().astype(np.int64),
            table["number"].to_numpy().astype(np.float64),
        )

    async def put_calendar(self, tenant: str, calendar: HolidayCalendar) -> None:
        body: dict[str, Any] = {
            "regions": [list(region) for region in calendar.regions],
            "days": [[name, [day.isoformat() for day in days]] for name, days in calendar.days],
        }
        await self._store.commit([Put(tenant, CALENDARS, _ONE, body)])

    async def calendar(self, tenant: str) -> HolidayCalendar:
        found = await self._store.get(tenant, CALENDARS, _ONE)
        if found is None:
            return HolidayCalendar()
        return HolidayCalendar(
            tuple((country, part) for country, part in found.body["regions"]),
            tuple((name, tuple(map(date.fromisoformat, days))) for name, days in found.body["days"]),
        )

    def _values(self, tenant: str) -> Any:
        values = of_tenant(self._columnar.table(DRIVER_VALUES), tenant)
        return values.filter(values.number.notnull())


def _driver(document: Document) -> Driver:
    body = document.body
    return Driver(body["driver_id"], document.id, DriverSource(body["source"]), body["default"], body["required_ahead"])
