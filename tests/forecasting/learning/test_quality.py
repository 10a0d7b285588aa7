"""On real series the forecasts beat the seasonal naive method; figures are in ``benchmarks/forecasting.py``."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.seasons import calendar_features
from services.forecasting.learning.accuracy import seasonal_change
from services.forecasting.learning.histories import FloatArray
from services.forecasting.learning.panel import forecast_panel
from tests.evaluation_data import evaluation_data

HORIZON = 8


@pytest.fixture(scope="module")
def folder() -> Path:
    return evaluation_data("complete_journey")


def weekly_sales(folder: Path) -> pd.DataFrame:
    """Sales by ISO week and department; the Sunday before the first whole week is left out."""
    lines = pd.read_parquet(
        folder / "transactions.parquet", columns=["product_id", "sales_value", "transaction_timestamp"]
    )
    products = pd.read_parquet(folder / "products.parquet", columns=["product_id", "department"])
    lines = lines.merge(products, on="product_id", how="left")
    lines["department"] = lines["department"].astype(object).where(lines["department"].notna(), "")
    week = lines["transaction_timestamp"].dt.to_period("W-SUN").dt.start_time
    weekly = lines.pivot_table(index=week, columns="department", values="sales_value", aggfunc="sum", fill_value=0.0)
    return weekly.loc["2017-01-02":"2017-12-25"]


def test_weekly_sales_by_department_are_forecast_better_than_by_the_seasonal_naive_method(folder: Path) -> None:
    weekly = weekly_sales(folder)
    assert len(weekly) == 52
    train, test = weekly.iloc[:-HORIZON], weekly.iloc[-HORIZON:]
    names = [name for name in weekly if train[name].any()]
    series = [_from_first_sale(train[name].to_numpy(dtype=np.float64)) for name in names]
    calendar = calendar_features(Granularity.WEEK, [stamp.to_pydatetime() for stamp in weekly.index])
    found = forecast_panel(series, 1, HORIZON, calendar).series
    ours, naive, held = [], [], []
    for name, one, forecast in zip(names, series, found, strict=True):
        scale = seasonal_change(one, 1)
        if scale > 0:
            actual = test[name].to_numpy(dtype=np.float64)
            ours.append(np.abs(forecast.points - actual).mean() / scale)
            naive.append(np.abs(one[-1] - actual).mean() / scale)
            held.append(np.abs(actual - forecast.points) <= forecast.scale * forecast.quantiles[79])
    assert np.mean(ours) < 0.92 * np.mean(naive)
    assert 0.7 < np.mean(held) < 0.95


def _from_first_sale(figures: FloatArray) -> FloatArray:
    return figures[int(np.flatnonzero(figures)[0]) :]
