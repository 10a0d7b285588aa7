"""Methods of single series find on a Spark cluster what they find here, bit for bit."""

import logging

import numpy as np
import pytest
from pyspark.errors import PySparkException

from services.common.columnar.spark import connect
from services.common.columnar.spark_spread import SparkSpread
from services.forecasting.app import METHODS
from services.forecasting.learning.histories import side_by_side
from services.forecasting.learning.methods import Task, run_part


def parts() -> list[Task]:
    random = np.random.default_rng(2)
    found = []
    for length in (60, 90):
        series = [100 + np.cumsum(random.normal(0, 5, length)) for _ in range(3)]
        together, _ = side_by_side(series)
        found.append(Task(together, 7, 5, np.zeros((length + 5, 0)), np.full(3, length)))
    return found


@pytest.mark.spark
def test_spark_finds_what_this_process_finds(spark_url: str, caplog: pytest.LogCaptureFixture) -> None:
    session = connect(spark_url)
    try:
        with caplog.at_level(logging.WARNING):
            found = list(SparkSpread(session, METHODS)(run_part, parts()))
    finally:
        session.stop()
    assert not caplog.records  # it was Spark that found it
    for (ours, levels), part in zip(found, parts(), strict=True):
        here, without = run_part(part)
        np.testing.assert_array_equal(ours, here)
        np.testing.assert_array_equal(levels, without)


class BrokenSession:
    """A cluster that takes the modules and fails then."""

    def addArtifacts(self, *_: str, pyfile: bool) -> None:  # noqa: N802
        assert pyfile

    def createDataFrame(self, *_: object) -> None:  # noqa: N802
        raise PySparkException("no executors")


def test_what_fails_on_the_cluster_runs_here(caplog: pytest.LogCaptureFixture) -> None:
    found = list(SparkSpread(BrokenSession(), METHODS)(run_part, parts()))  # type: ignore[arg-type]
    assert "no executors" in caplog.text
    np.testing.assert_array_equal(found[1][0], run_part(parts()[1])[0])
