"""One neural network for all series of a panel: it reads the last figures of a series and writes all steps at once.

Blocks of fully connected layers, each of which takes from the window what it has explained and adds to the forecast
(N-BEATS: B. N. Oreshkin et al., ICLR 2020), beside a linear map from the window to the forecast (NLinear: A. Zeng et
al., AAAI 2023). Every window is shifted and scaled by what it holds itself, so that one network fits series of all
sizes. It learns the mean absolute error of the scaled figures by Adam and stops where windows that it does not learn
from, the last ones, say so. It uses no drivers: what it adds is level and season, as for the smoothing methods.

Torch runs on one thread with its own generator, so that the same data give the same network.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from services.forecasting.learning import known_ahead
from services.forecasting.learning.histories import FloatArray, IntArray
from services.forecasting.learning.lagged import Panel

log = logging.getLogger(__name__)
SERIES_MIN, WINDOWS_MIN = 20, 2_000
"""A panel of fewer series, or with fewer windows to learn from, has no network."""
SECONDS_MAX = 60.0
_SEED = 20
_WIDTH, _BLOCKS, _BATCH, _RATE = 128, 2, 256, 1e-3
STEPS_MAX, _STEPS_BETWEEN, _PATIENCE = 1_200, 50, 5
_VALIDATION_MAX = 2_000
_LARGEST = 10.0
_SEASONS = 8
_FLOOR = 1e-2
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """How a network sees a series: the last ``length`` figures, with the mean of the last ``season`` as zero; and, with
    a ``year``, those of a year before the steps."""

    length: int
    season: int
    year: int
    horizon: int

    @classmethod
    def of(cls, panel: Panel, horizon: int) -> "Window":
        """The window for a panel's rhythm: a year of weeks or months, else eight of the shortest seasons and at least
        one of the longest."""
        rhythm = panel.known.rhythm
        if not rhythm.seasons:
            return cls(rhythm.year, 1, 0, horizon)
        season = rhythm.seasons[-1]
        return cls(max(season, _SEASONS * rhythm.seasons[0]), season, rhythm.year, horizon)

    @property
    def inputs(self) -> int:
        """How many figures go in."""
        return self.length + (self.horizon + 1 if self.year else 0)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Windows as the network sees them, and how to make figures of what it says."""

    inputs: Float32
    centre: FloatArray
    scale: FloatArray


@cache
def available() -> bool:
    """Whether torch can be loaded."""
    try:
        import torch
    except (ImportError, OSError) as error:
        log.warning("forecasts are made without a neural network: %s", error)
        return False
    torch.set_num_threads(1)
    return True


@dataclass(frozen=True, slots=True)
class Network:
    """A fitted network."""

    module: Any
    window: Window

    def forecast(self, panel: Panel, ends: IntArray, series: IntArray) -> FloatArray:
        """Forecasts of ``series`` from before the periods ``ends``, one row each, one column a step; NaN for a history
        that is shorter than the window."""
        found = np.full((len(series), self.window.horizon), np.nan)
        usable = np.flatnonzero(ends - panel.starts[series] >= self.window.length)
        if len(usable):
            seen = _see(panel, self.window, series[usable], ends[usable])
            found[usable] = _said(self.module, seen)
        return found


@dataclass(frozen=True, slots=True)
class NetworkFitting:
    """Fits networks, each in at most so many ``seconds`` of processor time and ``steps`` of learning (one that goes on
    from another, a third of them)."""

    seconds: float = SECONDS_MAX
    steps: int = STEPS_MAX

    def __call__(
        self, panel: Panel, end: int, horizon: int, before: known_ahead.Network | None = None
    ) -> Network | None:
        """The network of what came before the period ``end``; ``None`` if that is too little, or takes too long. It
        goes on from the one ``before``, which was fitted to less."""
        if not available() or len(panel.starts) < SERIES_MIN:
            return None
        return _fit(panel, end, horizon, self, before if isinstance(before, Network) else None)


def _fit(panel: Panel, end: int, horizon: int, limits: NetworkFitting, before: Network | None) -> Network | None:
    window = before.window if before else Window.of(panel, horizon)
    series, ends = _places(panel, window, end - 2 * horizon)
    if len(series) < WINDOWS_MIN:
        return None
    checked = np.flatnonzero(end - horizon - panel.starts >= window.length)[:_VALIDATION_MAX]
    validation = _see(panel, window, checked, np.full(len(checked), end - horizon)), checked, end - horizon
    return _train(panel, window, (series, ends), validation, limits, before)


def _train(
    panel: Panel,
    window: Window,
    places: tuple[IntArray, IntArray],
    validation: tuple[_Seen, IntArray, int],
    limits: NetworkFitting,
    before: Network | None,
) -> Network | None:
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    module = _module(window, generator)
    steps_max = limits.steps if before is None else limits.steps // 3
    if before is not None:
        module.load_state_dict(before.module.state_dict())
    optimiser = torch.optim.Adam(module.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps_max, _RATE / 20)
    seen, checked, end = validation
    target = _scaled(panel, window, seen, checked, np.full(len(checked), end))
    best, kept, patience = _error(module, seen, target), _state(module), _PATIENCE
    deadline = time.thread_time() + limits.seconds
    for step, (inputs, wanted) in enumerate(_batches(panel, window, places, steps_max), start=1):
        optimiser.zero_grad()
        loss = (module(torch.from_numpy(inputs)) - torch.from_numpy(wanted)).abs().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % _STEPS_BETWEEN == 0:
            if time.thread_time() > deadline:
                log.warning("a network of %d windows was given up after %.0f s", len(places[0]), limits.seconds)
                return None
            error = _error(module, seen, target)
            patience = _PATIENCE if error < best else patience - 1
            if error < best:
                best, kept = error, _state(module)
            if not patience:
                break
    module.load_state_dict(kept)
    return Network(module, window)


def _places(panel: Panel, window: Window, last: int) -> tuple[IntArray, IntArray]:
    """Series and ends of all windows that end at ``last`` at the latest."""
    counts = np.maximum(last - panel.starts - window.length + 1, 0)
    series = np.repeat(np.arange(len(counts)), counts)
    ends = panel.starts[series] + window.length + np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)
    return series, ends


def _batches(
    panel: Panel, window: Window, places: tuple[IntArray, IntArray], count: int
) -> Iterator[tuple[Float32, Float32]]:
    random = np.random.default_rng(_SEED)
    for _ in range(count):
        chosen = random.integers(0, len(places[0]), _BATCH)
        series, ends = places[0][chosen], places[1][chosen]
        seen = _see(panel, window, series, ends)
        yield seen.inputs, _scaled(panel, window, seen, series, ends)


def _see(panel: Panel, window: Window, series: IntArray, ends: IntArray) -> _Seen:
    figures = panel.values[series[:, None], ends[:, None] + np.arange(-window.length, 0)]
    centre = figures[:, -window.season :].mean(axis=1)
    spread = np.abs(figures - figures.mean(axis=1, keepdims=True)).mean(axis=1)
    scale = np.maximum(spread, _FLOOR * np.abs(figures).mean(axis=1)) + 1e-9
    parts = [(figures - centre[:, None]) / scale[:, None]]
    if window.year:
        there = ends[:, None] + np.arange(window.horizon) - window.year
        inside = (there >= panel.starts[series][:, None]) & (there < ends[:, None])
        year = (panel.values[series[:, None], np.maximum(there, 0)] - centre[:, None]) / scale[:, None]
        whole = inside.all(axis=1, keepdims=True)
        parts += [np.where(whole, np.nan_to_num(year), 0.0), whole.astype(np.float64)]
    inputs = np.clip(np.concatenate(parts, axis=1), -_LARGEST, _LARGEST)
    return _Seen(inputs.astype(np.float32), centre, scale)


def _scaled(panel: Panel, window: Window, seen: _Seen, series: IntArray, ends: IntArray) -> Float32:
    figures = panel.values[series[:, None], ends[:, None] + np.arange(window.horizon)]
    found = (figures - seen.centre[:, None]) / seen.scale[:, None]
    return np.asarray(np.clip(found, -_LARGEST, _LARGEST), dtype=np.float32)


def _said(module: Any, seen: _Seen) -> FloatArray:
    import torch

    with torch.no_grad():
        found = module(torch.from_numpy(seen.inputs)).numpy().astype(np.float64)
    return np.asarray(found * seen.scale[:, None] + seen.centre[:, None])


def _error(module: Any, seen: _Seen, target: Float32) -> float:
    import torch

    with torch.no_grad():
        return float((module(torch.from_numpy(seen.inputs)) - torch.from_numpy(target)).abs().mean())


def _state(module: Any) -> dict[str, Any]:
    return {name: it.clone() for name, it in module.state_dict().items()}


def _module(window: Window, generator: Any) -> Any:
    import torch

    class Stack(torch.nn.Module):
        """The linear map and the blocks."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = _layer(window.inputs, window.horizon, generator, zero=True)
            self.blocks = torch.nn.ModuleList(
                torch.nn.Sequential(
                    _layer(window.inputs, _WIDTH, generator),
                    torch.nn.ReLU(),
                    _layer(_WIDTH, _WIDTH, generator),
                    torch.nn.ReLU(),
                    _layer(_WIDTH, window.inputs + window.horizon, generator, zero=True),
                )
                for _ in range(_BLOCKS)
            )

        def forward(self, left: Any) -> Any:
            """All steps."""
            found = self.linear(left)
            for block in self.blocks:
                explained, adds = block(left).split([window.inputs, window.horizon], dim=1)
                left, found = left - explained, found + adds
            return found

    return Stack()


def _layer(inputs: int, outputs: int, generator: Any, *, zero: bool = False) -> Any:
    """A layer with weights drawn from the generator (He et al. 2015), or none."""
    import torch

    layer = torch.nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.bias.zero_()
        if zero:
            layer.weight.zero_()
        else:
            layer.weight.normal_(0.0, (2.0 / inputs) ** 0.5, generator=generator)
    return layer
