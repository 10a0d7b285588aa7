"""Media mix on simulated markets of known returns: how often the truth lies within the interval, and how fast.

``python -m benchmarks.media_mix`` prints a table, with ``--json`` one object a line. The size is the one at which
Meridian runs out of a 16 GB GPU (36 channels, 183 regions, 156 weeks; its issue 1666).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.harness import Result, report
from services.forecasting.learning.media_mix import Array, Panel, default_prior, fit, trend_and_season

WEEKS_A_YEAR = 365.25 / 7
NORMAL_90 = 1.645


@dataclass(frozen=True, slots=True)
class World:
    """A market, and what is true of it."""

    panel: Panel
    roi: Array


def simulated(seed: int, regions: int, periods: int, channels: int) -> World:
    """A market whose truth the model can only approach.

    Regions differ in size and in how they respond (20 % up or down), spend comes in flights and follows the season,
    noise lasts (.3 of it into the next week) and 2 % of sales is a shock that all regions share.
    """
    rng = np.random.default_rng(seed)
    size = 1000 * np.exp(rng.normal(0, 0.8, regions))
    time_ = np.arange(periods)
    wave = 2 * np.pi * time_ / WEEKS_A_YEAR
    season = 0.15 * np.sin(wave + 1) + 0.08 * np.cos(2 * wave)
    spend = size[:, None, None] * _flights(rng, season, regions, periods, channels)
    roi = np.exp(rng.normal(0.2, 0.6, channels))
    share = _saturated(rng, spend / size[:, None, None])
    response = np.exp(rng.normal(0, 0.2, (regions, channels)) - 0.02)
    scale = roi * spend.sum(axis=(0, 1)) / np.einsum("r,rtc,rc->c", size, share, response)
    effect = (share * response[:, None, :] * scale).sum(axis=2)
    level = 1 + 0.1 * time_ / periods + season
    outcome = size[:, None] * (level + effect + _noise(rng, regions, periods))
    return World(Panel(outcome, spend, trend_and_season(periods, WEEKS_A_YEAR)), roi)


def _flights(rng: np.random.Generator, season: Array, regions: int, periods: int, channels: int) -> Array:
    share = rng.dirichlet(np.full(channels, 2.0)) * 0.2
    national = np.exp(rng.normal(0, 0.5, (periods, channels)) + season[:, None] * rng.normal(0, 1.5, channels))
    on = np.repeat(rng.random((periods // 4 + 1, channels)) < 0.75, 4, axis=0)[:periods]
    local = np.exp(rng.normal(0, 0.4, (regions, periods, channels)) + rng.normal(0, 0.3, (regions, 1, channels)))
    spend = national * on * local
    return np.asarray(spend / spend.mean(axis=(0, 1)) * share)


def _saturated(rng: np.random.Generator, spend: Array) -> Array:
    channels = spend.shape[2]
    retention, half = rng.uniform(0.1, 0.8, channels), np.exp(rng.normal(0, 0.5, channels))
    unit = spend.sum(axis=(0, 1)) / np.maximum((spend > 0).sum(axis=(0, 1)), 1)
    held, stock = np.zeros_like(spend[:, 0]), np.empty_like(spend)
    for period in range(spend.shape[1]):
        held = spend[:, period] / unit + retention * held
        stock[:, period] = (1 - retention) * held
    return np.asarray(stock / (stock + half))


def _noise(rng: np.random.Generator, regions: int, periods: int) -> Array:
    noise = rng.normal(0, 0.1, (regions, periods))
    for period in range(1, periods):
        noise[:, period] = 0.3 * noise[:, period - 1] + noise[:, period] * np.sqrt(1 - 0.09)
    return np.asarray(noise + rng.normal(0, 0.02, periods))


def measured(regions: int, periods: int, channels: int, worlds: int) -> Iterator[Result]:
    """Coverage of the 90 % intervals of ROI, the median error, and the time of a fit."""
    inside, errors, took, wall = [], [], [], []
    for seed in range(worlds):
        world = simulated(seed, regions, periods, channels)
        began, clock = time.process_time(), time.perf_counter()
        mix = fit(world.panel, default_prior(channels))
        took.append(time.process_time() - began)
        wall.append(time.perf_counter() - clock)
        deviation = np.sqrt(np.diag(mix.covariance))[:channels]
        inside.extend(np.abs(np.log(mix.roi / world.roi)) < NORMAL_90 * deviation)
        errors.extend(np.abs(mix.roi / world.roi - 1))
    size = f"{channels} channels, {regions} regions, {periods} weeks"
    goal = ">= 0.85" if regions > 100 else ""
    yield Result(f"{size}: true ROI within the 90 % interval", float(np.mean(inside)), "", goal=goal)
    yield Result(f"{size}: median error of ROI", float(np.median(errors)), "")
    yield Result(f"{size}: a fit, CPU", float(np.mean(took)), "s")
    yield Result(f"{size}: a fit, wall", float(np.mean(wall)), "s", goal="< 60" if regions > 100 else "")


def main() -> None:
    """Measure and print."""
    sizes = ((1, 156, 6, 40), (20, 156, 10, 20), (183, 156, 36, 5))
    report("Media mix", [result for size in sizes for result in measured(*size)])


if __name__ == "__main__":
    main()
