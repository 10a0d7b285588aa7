"""Record spend, fit a media mix model as a job, and read it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.jobs import Job, Jobs, Progress
from services.forecasting.domain.media_mix import (
    DEFAULT_BELIEF,
    Array,
    Belief,
    MediaMixNotFound,
    MediaMixOptions,
    Observed,
    PriorInvalid,
    Spend,
    StoredMix,
)
from services.forecasting.handlers.observe_media import observe
from services.forecasting.handlers.start_once import start_once
from services.forecasting.learning.media_mix import MediaMix, Panel, default_prior, fit, trend_and_season
from services.forecasting.ports import Lines, MediaMixes, Requests, SpendRecords

KIND = "fit_media_mix"
HOLDOUT_SHARE, HOLDOUT_PERIODS_MIN = 0.1, 4
YEAR_DAYS = 365.25
_WIDE = 1.0


@dataclass(frozen=True, slots=True)
class MediaMixing:
    """What media mix models need from outside."""

    lines: Lines
    records: SpendRecords
    mixes: MediaMixes
    requests: Requests
    jobs: Jobs
    clock: Clock


async def record_spend(
    mixing: MediaMixing, tenant: str, request_id: str, fingerprint: str, rows: Sequence[Spend]
) -> int:
    """How many rows were recorded; the answer of then for a request that came before."""
    answer = await mixing.requests.replayed(tenant, request_id, fingerprint)
    if answer is None:
        newest = {(it.channel, it.region, it.currency, it.day): it for it in rows}
        await mixing.records.record(tenant, request_id, list(newest.values()))
        answer = {"recorded": len(newest)}
        await mixing.requests.remember(tenant, request_id, fingerprint, answer)
    return int(answer["recorded"])


async def fit_media_mix(
    mixing: MediaMixing, tenant: str, request_id: str, fingerprint: str, options: MediaMixOptions
) -> Job:
    """The job that fits; a request that came before gets the job of then. Refusals as in the contract."""

    async def prepare() -> _Work:
        observed = await observe(mixing.lines, mixing.records, tenant, options)
        return _Work(mixing, tenant, options, observed, _beliefs(observed.channels, options.beliefs or {}))

    return await start_once(mixing.requests, mixing.jobs, tenant, request_id, fingerprint, KIND, prepare)


async def get_media_mix(mixes: MediaMixes, tenant: str, version: int) -> StoredMix:
    """The model; ``MediaMixNotFound``."""
    found = await mixes.get(tenant, version)
    if found is None:
        raise MediaMixNotFound("no media mix model was fitted" if not version else f"there is no version {version}")
    return found


def _beliefs(channels: Sequence[str], beliefs: Mapping[str, Belief]) -> Array:
    unknown = sorted(set(beliefs) - set(channels))
    if unknown:
        raise PriorInvalid(f"the channel {unknown[0]} has too little spend in the span, or none", channel=unknown[0])
    each = [beliefs.get(name, DEFAULT_BELIEF) for name in channels]
    return np.array([[it.mean for it in each], [it.deviation for it in each]])


@dataclass(frozen=True, slots=True)
class _Work:
    mixing: MediaMixing
    tenant: str
    options: MediaMixOptions
    observed: Observed
    beliefs: Array

    async def __call__(self, progress: Progress) -> dict[str, str]:
        count = len(self.observed.dates)
        with telemetry.span("forecasting.fit_media_mix", channels=len(self.observed.channels), periods=count):
            await progress(0.05, "holding the last periods out")
            wape = await asyncio.to_thread(self._held_out)
            await progress(0.5, "fitting on all periods")
            fitted = await asyncio.to_thread(self._fit, count)
            version = await self.mixing.mixes.add(self.tenant, self._stored(fitted, wape))
        regions = len(self.observed.regions)
        results = {"version": version, "channel_count": len(self.observed.channels), "region_count": regions}
        results |= {"period_count": count}
        figures = {"r_squared": self._explained(fitted), "holdout_wape": wape}
        shown = {name: f"{value:.4f}" for name, value in figures.items() if value is not None}
        return {name: str(value) for name, value in results.items()} | shown

    def _fit(self, count: int) -> MediaMix:
        """The model of the first ``count`` periods."""
        baseline = self._baseline()
        panel = Panel(self.observed.sales[:, :count], self.observed.spend[:, :count], baseline[:count])
        prior = default_prior(len(self.observed.channels))
        prior.mean[0], prior.deviation[0] = self.beliefs
        return fit(panel, prior)

    def _baseline(self) -> Array:
        per_year = YEAR_DAYS / (1 if self.options.daily else 7)
        columns = [trend_and_season(len(self.observed.dates), per_year)]
        if self.options.daily:
            weekdays = np.array([day.weekday() for day in self.observed.dates])
            columns.append((weekdays[:, None] == np.arange(1, 7)).astype(np.float64))
        return np.concatenate(columns, axis=1)

    def _held_out(self) -> float | None:
        """The weighted absolute error of the last periods, by a model that has not seen them."""
        count = len(self.observed.dates)
        held = max(HOLDOUT_PERIODS_MIN, round(count * HOLDOUT_SHARE))
        known = count - held
        spent = (self.observed.spend[:, :known] > 0).any(axis=(0, 1))
        if known < 2 * held or not spent.all():
            return None
        expected = self._fit(known).expected(self.observed.sales, self.observed.spend, self._baseline(), known)
        actual = self.observed.sales[:, known:].sum(axis=0)
        return float(np.abs(expected - actual).sum() / np.abs(actual).sum())

    def _explained(self, fitted: MediaMix) -> float:
        sales = self.observed.sales
        away = ((sales - sales.mean(axis=1, keepdims=True)) ** 2).sum()
        return float(1 - ((sales - fitted.fitted) ** 2).sum() / away) if away else 1.0

    def _stored(self, fitted: MediaMix, wape: float | None) -> StoredMix:
        seen = self.observed
        return StoredMix(
            version=0,
            fit_time=to_micros(self.mixing.clock()),
            daily=self.options.daily,
            currency=seen.currency,
            dates=[day.isoformat() for day in seen.dates],
            last_date=seen.last.isoformat(),
            regions=seen.regions,
            channels=seen.channels,
            theta=fitted.theta,
            covariance=fitted.covariance,
            scale=fitted.scale,
            units=fitted.units,
            sizes=fitted.sizes,
            mean_spend=seen.spend.mean(axis=1),
            period_spend=seen.spend.sum(axis=0),
            sales=seen.sales.sum(axis=0),
            fitted=fitted.fitted.sum(axis=0),
            contributions=fitted.contributions,
            beliefs=self.beliefs,
            r_squared=self._explained(fitted),
            holdout_wape=wape,
            warnings=list(_warnings(seen, fitted)),
        )


def _warnings(seen: Observed, fitted: MediaMix) -> Sequence[str]:
    found = []
    if not fitted.converged:
        found.append("The fit did not settle: the data hardly tell some channels apart. Trust the intervals only.")
    count = len(fitted.roi)
    deviations = np.sqrt(np.diag(fitted.covariance))[:count]
    vague = [name for name, deviation in zip(seen.channels, deviations, strict=True) if deviation > 0.8 * _WIDE]
    if vague:
        found.append(f"The data say little of {', '.join(vague[:10])}: the answer is mostly what was believed before.")
    if (seen.dates[-1] - seen.dates[0]).days < YEAR_DAYS:
        found.append("Less than a year of data: season and spend that follow it cannot be told apart.")
    if fitted.contributions.sum() > 0.8 * seen.sales.sum():
        found.append("Nearly all sales are ascribed to channels, which is rarely so.")
    return found
