"""A real Spark on this machine: one Spark Connect server in local mode for the whole test session."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_ports

START_SECONDS_MAX = 110


@pytest.fixture(scope="session")
def spark_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server; skips where Java or pyspark is absent."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Java is absent: Spark needs Java 17 or newer")
    pyspark = pytest.importorskip("pyspark", reason="pyspark is absent")
    _keep_the_pool()
    folder = tmp_path_factory.mktemp("spark")
    (port,) = free_ports(1)
    with (folder / "log").open("wb") as log:
        command = _command(Path(pyspark.__file__).parent, port)
        # What the workers run, whichever Python comes first on the path.
        workers = {**os.environ, "PYSPARK_PYTHON": sys.executable}
        server = subprocess.Popen(command, cwd=folder, env=workers, stdout=log, stderr=log)
    try:
        _wait(server, port, folder / "log")
        yield f"sc://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _keep_the_pool() -> None:
    """Let no session shut down the pool of threads that pyspark keeps for all sessions of a process.

    A session that the garbage collector ends in one of these threads cannot wait for the thread that it runs in; the
    pool is then shut down and still there, and no later session of the process answers. Services have one session.
    """
    from pyspark.sql.connect.client.reattach import ExecutePlanResponseReattachableIterator

    setattr(ExecutePlanResponseReattachableIterator, "shutdown", classmethod(lambda _: None))  # noqa: B010


def _command(spark: Path, port: int) -> list[str]:
    configuration = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.warehouse.dir": "warehouse",
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
        # Some rows a query: compiling code for each plan, and that code again, costs more than they do.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.adaptive.enabled": "false",
        # Room for all the code that one compiler makes: what is thrown out of its usual 48 MiB is made again. And for
        # what is short-lived, and for classes, which are no reason to collect what is old.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m "
        "-XX:+UseSerialGC -Xms1g -Xmn320m -XX:MetaspaceSize=256m",
    }
    options = [part for name, value in configuration.items() for part in ("--conf", f"{name}={value}")]
    entry = "org.apache.spark.sql.connect.service.SparkConnectServer"
    return [str(spark / "bin" / "spark-submit"), "--master", "local[2]", *options, "--class", entry, "spark-internal"]


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"Spark did not start: {log.read_text(errors='replace')[-2000:]}")
