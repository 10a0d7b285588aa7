"""Runs functions of a service over parts of its data on the Spark cluster that also keeps its tables.

The workers need this process's version of Python and what the functions import beside the service's own modules, which
travel with the session. If the cluster fails, everything is run here: what is found is the same, bit for bit.
"""

import logging
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

import services

log = logging.getLogger(__name__)
_ROOT = Path(services.__file__).parent.parent
_SCHEMA = "place BIGINT, found BINARY"
_Part = TypeVar("_Part")
_Found = TypeVar("_Found")


class SparkSpread:
    """As ``map``, on the cluster of a session; a part is a task there. One part alone, and what fails, runs here."""

    def __init__(self, session: SparkSession, packages: Sequence[str]) -> None:
        """``packages``: the folders of the functions' modules, and those above them (``services``, ...)."""
        self._session = session
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "tessera_functions.zip"
            with zipfile.ZipFile(archive, "w") as packed:
                for package in packages:
                    for source in sorted((_ROOT / package).glob("*.py")):
                        packed.write(source, source.relative_to(_ROOT))
            session.addArtifacts(str(archive), pyfile=True)

    def __call__(self, function: Callable[[_Part], _Found], parts: Iterable[_Part]) -> Iterable[_Found]:
        given = list(parts)
        if len(given) < 2:
            return map(function, given)
        try:
            return self._run(function, given)
        except PySparkException as error:
            log.warning("%d parts run in this process, as Spark failed: %s", len(given), error)
            return map(function, given)

    def _run(self, function: Callable[[_Part], _Found], parts: list[_Part]) -> list[_Found]:
        rows = [(place, pickle.dumps((function, part))) for place, part in enumerate(parts)]
        frame = self._session.createDataFrame(rows, "place BIGINT, task BINARY").repartition(len(parts), "place")
        found = frame.mapInArrow(_worker(), _SCHEMA).toArrow().to_pylist()
        # Pickles of the tenant's own cluster, which ran the service's own functions.
        by_place: dict[int, _Found] = {row["place"]: pickle.loads(row["found"]) for row in found}
        return [by_place[place] for place in range(len(parts))]


def _worker() -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """What runs on a worker; without a name in this module, so that it travels by value: this module does not."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pickle

        import pyarrow as pa

        for batch in batches:
            for row in batch.to_pylist():
                function, part = pickle.loads(row["task"])
                found = pa.array([pickle.dumps(function(part))], pa.binary())
                yield pa.RecordBatch.from_arrays([pa.array([row["place"]], pa.int64()), found], ["place", "found"])

    return run
