"""Fit forecasts in the background, as a job."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.clock import Clock
from services.common.jobs import Job, Jobs, Progress
from services.forecasting.domain.forecasts import Forecast, PanelKey
from services.forecasting.handlers.fit_panel import PanelFitting, fit_panel
from services.forecasting.handlers.known_ahead import Choice, check_names
from services.forecasting.handlers.start_once import start_once
from services.forecasting.learning.known_ahead import LEARNERS, Learners
from services.forecasting.ports import Drivers, Forecasts, Lines, Requests

KIND = "fit_forecasts"


@dataclass(frozen=True, slots=True)
class Spec:
    """What is fitted at once."""

    panel: PanelKey
    values: tuple[str, ...] = ()
    """Only these series; empty for all."""
    drivers: tuple[str, ...] | None = None
    """With these drivers; ``None``: with all."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """What fitting needs from outside."""

    lines: Lines
    forecasts: Forecasts
    drivers: Drivers
    requests: Requests
    jobs: Jobs
    clock: Clock
    learners: Learners = LEARNERS

    @property
    def of_panels(self) -> PanelFitting:
        """What fitting one panel needs."""
        return PanelFitting(self.lines, self.forecasts, self.drivers, self.clock, self.learners)


async def fit_forecasts(fitting: Fitting, tenant: str, request_id: str, fingerprint: str, specs: Sequence[Spec]) -> Job:
    """The job that fits ``specs``; a request that came before gets the job of then. Refusals as in the contract."""

    async def prepare() -> _Work:
        for spec in specs:
            await check_names(fitting.drivers, tenant, spec.drivers or ())
        return _Work(fitting, tenant, specs)

    return await start_once(fitting.requests, fitting.jobs, tenant, request_id, fingerprint, KIND, prepare)


@dataclass(frozen=True, slots=True)
class _Work:
    fitting: Fitting
    tenant: str
    specs: Sequence[Spec]

    async def __call__(self, progress: Progress) -> dict[str, str]:
        fitted: list[Forecast] = []
        skipped = 0
        for number, spec in enumerate(self.specs):
            panel = spec.panel
            name = (
                f"{panel.measure.name.lower()} by {panel.dimension.name.lower()} and {panel.granularity.name.lower()}"
            )
            await progress(number / len(self.specs), f"fitting {name}")
            done, without = await fit_panel(
                self.fitting.of_panels, self.tenant, panel, spec.values, Choice(spec.drivers)
            )
            fitted += done
            skipped += without
        return _results(fitted, skipped)


def _results(fitted: Sequence[Forecast], skipped: int) -> dict[str, str]:
    results = {"fitted_count": str(len(fitted)), "skipped_count": str(skipped)}
    pairs = [
        (it.backtest.accuracy.mase, it.backtest.seasonal_naive.mase)
        for it in fitted
        if it.backtest and it.backtest.accuracy.mase is not None and it.backtest.seasonal_naive.mase is not None
    ]
    if pairs:
        ours, naive = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
        results |= {"mase": f"{ours:.4f}", "seasonal_naive_mase": f"{naive:.4f}"}
    return results
