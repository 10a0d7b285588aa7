"""Forecasts as messages, and the keys that name them."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1 import series_pb2

from services.common.errors import InvalidArgument
from services.forecasting.domain.forecasts import (
    LEVELS_DEFAULT,
    Accuracy,
    Forecast,
    ForecastKey,
    PanelKey,
    check_quantiles,
)
from services.forecasting.domain.measures import Dimension, Granularity, Hierarchy, Measure, TimeHierarchy
from services.forecasting.domain.periods import periods_between, zone_named
from services.forecasting.handlers.get_series import check_instant
from services.forecasting.servicer.enums import known


def panel_key(spec: pb.ForecastSpec | pb.ForecastKey) -> PanelKey:
    """The panel that is named. Moments within one period have the same forecast, and so the same name: that of its
    beginning."""
    granularity = known(Granularity, spec.granularity, "granularity")
    time_hierarchy = known(TimeHierarchy, spec.time_hierarchy, "time_hierarchy")
    shortest = (*time_hierarchy.levels, granularity)[0]
    as_of = _period_begin(spec.as_of_time, shortest, spec.time_zone) if spec.HasField("as_of_time") else None
    return PanelKey(
        known(Measure, spec.measure, "measure"),
        known(Dimension, spec.dimension, "dimension"),
        granularity,
        spec.horizon,
        spec.currency,
        spec.time_zone,
        known(Hierarchy, spec.hierarchy, "hierarchy"),
        spec.event_name,
        time_hierarchy,
        as_of,
    )


def _period_begin(instant: Timestamp, granularity: Granularity, time_zone: str) -> int:
    """The beginning of the period that holds the instant; ``WindowInvalid``, ``TimeZoneUnknown``."""
    micros = instant.seconds * 1_000_000 + instant.nanos // 1000
    check_instant(micros, "as_of_time")
    return periods_between(granularity, zone_named(time_zone), micros, micros).starts[0]


def forecast_key(key: pb.ForecastKey) -> ForecastKey:
    """The forecast that is named; ``InvalidArgument``."""
    panel = panel_key(key)
    if panel.dimension is Dimension.TOTAL and key.value:
        raise InvalidArgument("the total has no value; leave it empty", field="key.value")
    return panel.key(key.value)


def interval_levels(asked: Sequence[int]) -> tuple[int, ...]:
    """The levels asked for, ascending, in per cent."""
    return tuple(sorted(set(asked))) or LEVELS_DEFAULT


def quantiles_asked(asked: Sequence[float]) -> tuple[float, ...]:
    """The quantiles asked for, ascending; ``QuantileInvalid``."""
    check_quantiles(asked)
    return tuple(sorted(set(asked)))


def forecast_message(it: Forecast, levels: Sequence[int], quantiles: Sequence[float] = ()) -> pb.Forecast:
    """A forecast with intervals at ``levels``, and ``quantiles``."""
    return pb.Forecast(
        key=_key_message(it.key),
        currency=it.currency,
        points=[
            pb.ForecastPoint(
                start_time=timestamp(start),
                value=value,
                intervals=_intervals(it, step, levels),
                quantiles=[pb.Quantile(probability=each, value=it.quantile(step, each)) for each in quantiles],
                contributions=[pb.Contribution(name=name, value=part[step]) for name, part in it.parts.items()],
            )
            for step, (start, value) in enumerate(zip(it.starts, it.values, strict=True))
        ],
        model=it.model,
        version=it.version,
        fit_time=timestamp(it.fit_time),
        history_start_time=timestamp(it.history_start),
        history_end_time=timestamp(it.history_end),
        history_count=it.history_count,
        backtest=_backtest(it, levels),
        warnings=it.warnings,
        drivers=it.drivers.names if it.drivers else (),
    )


def _key_message(key: ForecastKey) -> pb.ForecastKey:
    return pb.ForecastKey(
        measure=series_pb2.Measure.ValueType(key.panel.measure),
        dimension=series_pb2.Dimension.ValueType(key.panel.dimension),
        value=key.value,
        granularity=series_pb2.Granularity.ValueType(key.panel.granularity),
        horizon=key.panel.horizon,
        currency=key.panel.currency,
        time_zone=key.panel.time_zone,
        hierarchy=series_pb2.Hierarchy.ValueType(key.panel.hierarchy),
        event_name=key.panel.event_name,
        time_hierarchy=series_pb2.TimeHierarchy.ValueType(key.panel.time_hierarchy),
        as_of_time=None if key.panel.as_of is None else timestamp(key.panel.as_of),
    )


def _intervals(it: Forecast, step: int, levels: Sequence[int]) -> list[pb.Interval]:
    ends = [(level, it.interval(step, level)) for level in levels]
    return [pb.Interval(level=level, lower=lower, upper=upper) for level, (lower, upper) in ends]


def _backtest(it: Forecast, levels: Sequence[int]) -> pb.Backtest | None:
    if it.backtest is None:
        return None
    ours = _accuracy(it.backtest.accuracy)
    ours.coverage.extend(pb.Coverage(level=level, share=it.backtest.coverage[level - 1]) for level in levels)
    naive = _accuracy(it.backtest.seasonal_naive)
    before = it.backtest.unreconciled
    return pb.Backtest(
        origin_count=it.backtest.origin_count,
        accuracy=ours,
        seasonal_naive=naive,
        unreconciled=_accuracy(before) if before else None,
    )


def _accuracy(it: Accuracy) -> pb.Accuracy:
    return pb.Accuracy(wape=it.wape, mase=it.mase, smape=it.smape, rmse=it.rmse, bias=it.bias, wql=it.wql)


def timestamp(micros: int) -> Timestamp:
    """The instant as the contract has it."""
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
