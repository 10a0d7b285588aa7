"""Keep drivers, their values and the holidays of a tenant."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from services.forecasting.domain.drivers import (
    DAYS_MAX,
    DRIVERS_MAX,
    Driver,
    DriverNotFound,
    DriverSpan,
    DriverValueInvalid,
    TooManyDrivers,
    check_span,
    day_number,
    day_of,
)
from services.forecasting.domain.holidays import HolidayCalendar
from services.forecasting.domain.mixes import Scope
from services.forecasting.ports import Drivers, Requests


@dataclass(frozen=True, slots=True)
class DriverKeeping:
    """What drivers need from outside."""

    drivers: Drivers
    requests: Requests


async def put_driver(keeping: DriverKeeping, tenant: str, request_id: str, fingerprint: str, driver: Driver) -> Driver:
    """Keep the driver; one of the name keeps its values. Refusals as in the contract."""
    driver.check()
    answer = await keeping.requests.replayed(tenant, request_id, fingerprint)
    if answer is None:
        there = {it.name: it for it in await keeping.drivers.all(tenant)}
        if driver.name not in there and len(there) >= DRIVERS_MAX:
            raise TooManyDrivers(f"there are {DRIVERS_MAX} drivers already; delete one first", maximum=DRIVERS_MAX)
        before = there.get(driver.name)
        answer = {"driver_id": before.driver_id if before else f"driver_{uuid.uuid4().hex}"}
        await keeping.drivers.put(tenant, replace(driver, **answer))
        await keeping.requests.remember(tenant, request_id, fingerprint, answer)
    return replace(driver, driver_id=answer["driver_id"])


async def list_drivers(keeping: DriverKeeping, tenant: str) -> list[tuple[Driver, tuple[date, date] | None]]:
    """The drivers by name, with the first and the last day that they have a value for."""
    spans = await keeping.drivers.spans(tenant)
    return [(it, spans.get(it.driver_id)) for it in await keeping.drivers.all(tenant)]


async def record_driver_values(
    keeping: DriverKeeping, tenant: str, request_id: str, fingerprint: str, spans: Sequence[DriverSpan]
) -> int:
    """Keep the values; a request that came before gets the answer of then. Refusals as in the contract."""
    answer = await keeping.requests.replayed(tenant, request_id, fingerprint)
    if answer is None:
        named = await _checked(keeping, tenant, spans)
        answer = {"recorded": await keeping.drivers.record(tenant, request_id, named)}
        await keeping.requests.remember(tenant, request_id, fingerprint, answer)
    return int(answer["recorded"])


async def _checked(keeping: DriverKeeping, tenant: str, spans: Sequence[DriverSpan]) -> list[tuple[str, DriverSpan]]:
    there = {it.name: it for it in await keeping.drivers.all(tenant)}
    total = 0
    for index, span in enumerate(spans):
        driver = there.get(span.driver)
        if driver is None:
            raise _unknown(span.driver)
        span.check(index)
        total += span.days
        if total > DAYS_MAX:
            raise DriverValueInvalid(
                f"more than {DAYS_MAX:,} days at once; send the rest with another request", index=index
            )
    return [(there[span.driver].driver_id, span) for span in spans]


async def list_driver_values(
    keeping: DriverKeeping, tenant: str, name: str, scope: Scope, first: date, last: date
) -> list[tuple[date, float]]:
    """What was recorded of a driver for a series, in order of time. Refusals as in the contract."""
    check_span(first, last)
    driver = next((it for it in await keeping.drivers.all(tenant) if it.name == name), None)
    if driver is None:
        raise _unknown(name)
    found = await keeping.drivers.days(tenant, [driver.driver_id], [scope], day_number(last) + 1)
    days = sorted(zip(found.days.tolist(), found.numbers.tolist(), strict=True))
    return [(day_of(day), number) for day, number in days if day >= day_number(first)]


async def put_holiday_calendar(
    keeping: DriverKeeping, tenant: str, request_id: str, fingerprint: str, calendar: HolidayCalendar
) -> HolidayCalendar:
    """Keep the calendar. Refusals as in the contract."""
    calendar.check()
    if await keeping.requests.replayed(tenant, request_id, fingerprint) is None:
        await keeping.drivers.put_calendar(tenant, calendar)
        await keeping.requests.remember(tenant, request_id, fingerprint, {"kept": True})
    return calendar


def _unknown(name: str) -> DriverNotFound:
    return DriverNotFound(f"there is no driver {name}; PutDriver makes one", driver=name)
