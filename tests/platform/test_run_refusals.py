"""What is in the way of ``make run``: one sentence, a non-zero exit, no traceback, no process left."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.platform.make_run import Run, free_ports, none_left

pytestmark = pytest.mark.timeout(180)

START_SECONDS_MAX = 90
LOADING = "loading the Complete Journey"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that is not there yet."""
    return tmp_path / "data"


def refused(folder: Path, **environment: str) -> str:
    """The one sentence with which a start ends."""
    ports = free_ports()
    with Run(folder, ports, environment=environment) as run:
        assert run.status(START_SECONDS_MAX) == 1
        return _sentence(run, ports)


def _sentence(run: Run, ports: dict[str, int]) -> str:
    assert "Traceback" not in run.said
    assert none_left(run.folder, ports)
    begun, *sentences = run.said.splitlines() if run.said.startswith("Tessera starts") else ("", *run.said.splitlines())
    *before, sentence = [line for line in sentences if line.strip()]
    assert sentence.startswith("make run: ")
    assert all(not line.startswith("make run: ") for line in (begun, *before))
    return sentence.removeprefix("make run: ")


def test_ports_that_are_taken_are_named_with_their_variables(folder: Path) -> None:
    ports = free_ports()
    with socket.create_server(("127.0.0.1", ports["crm"])), socket.create_server(("127.0.0.1", ports["mail"])):
        with Run(folder, ports) as run:
            assert run.status(START_SECONDS_MAX) == 1
        assert run.said.splitlines()[-1] == (
            f"make run: these ports are in use: {ports['crm']} (CRM_PORT), {ports['mail']} (MAIL_PORT); "
            "stop what listens there, or set the variables to others"
        )
    assert none_left(folder, ports)
    assert not (folder / "profiles.sqlite3").exists()


def test_a_port_that_is_no_number_is_named(folder: Path) -> None:
    assert refused(folder, GATEWAY_PORT="http") == "GATEWAY_PORT is 'http', which is not a port: 1 to 65535"


def test_a_data_folder_that_is_a_file_is_named(folder: Path) -> None:
    folder.write_text("mine")
    said = f"{folder} cannot be written: it is not a folder; set TESSERA_DATA_DIR to another folder"
    assert refused(folder) == said
    assert refused(folder / "below") == said.replace(str(folder), str(folder / "below"))
    assert folder.read_text() == "mine"


def test_a_disk_that_is_too_small_is_named(folder: Path) -> None:
    with _small_disk(folder):
        sentence = refused(folder)
    assert sentence == (
        f"{folder} has 0.0 GiB free, 2 are needed; make room, or set TESSERA_DATA_DIR to a folder with more"
    )


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("loyalty.sqlite3", "loyalty: {file} is damaged"),
        ("forecasting.duckdb", "forecasting: {file} cannot be read"),
        ("mails_received", "mail: {file} is damaged: remove it"),
    ],
)
def test_a_damaged_file_is_named_by_who_needs_it(folder: Path, file: str, sentence: str) -> None:
    folder.mkdir()
    garbage = bytes(range(256)) * 64
    (folder / file).write_bytes(garbage)
    said = refused(folder)
    assert said.startswith(sentence.format(file=folder / file))
    assert said.endswith(f"(the log is {folder / 'platform.log'})")
    assert (folder / file).read_bytes() == garbage


def test_a_damaged_key_is_named(folder: Path) -> None:
    folder.mkdir()
    (folder / "auth_private_key.pem").write_text("no key")
    assert refused(folder).startswith(f"{folder / 'auth_private_key.pem'} is damaged")


@pytest.mark.parametrize(
    ("package", "by"),
    [("rich", ""), ("honcho", ""), ("faiss", "recommendation: "), ("strawberry", "gateway: ")],
)
def test_a_missing_package_is_named(tmp_path: Path, folder: Path, package: str, by: str) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / f"{package}.py").write_text(f"raise ModuleNotFoundError('No module named {package}', name='{package}')")
    assert refused(folder, PYTHONPATH=str(hidden)).startswith(f"{by}the package {package} is missing; ")


def test_a_wrong_setting_is_named(folder: Path) -> None:
    said = refused(folder, LOYALTY_DRAIN_SECONDS_MAX="abc")
    assert said.startswith("loyalty: LOYALTY_DRAIN_SECONDS_MAX: ")
    assert "valid number" in said


def test_a_process_that_dies_while_data_is_loaded_is_named(folder: Path) -> None:
    ports = free_ports()
    with Run(folder, ports) as run:
        run.wait_for(LOADING, START_SECONDS_MAX)
        os.kill(run.pid("profiles"), signal.SIGKILL)
        assert run.status() == 1
        assert _sentence(run, ports) == f"profiles was ended by SIGKILL (the log is {folder / 'platform.log'})"


@pytest.mark.parametrize("words", ["Tessera starts", LOADING])
def test_an_interrupt_in_the_middle_stops_everything(folder: Path, words: str) -> None:
    ports = free_ports()
    with Run(folder, ports) as run:
        run.wait_for(words, START_SECONDS_MAX)
        assert run.interrupt() == 0
        assert "Traceback" not in run.said
        assert "stopped; the data stays in the folder above" in run.said
        assert none_left(folder, ports)


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """A file system of one MiB at ``folder``."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no command `mount`")
    if mounted.returncode:
        pytest.skip(f"this user cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
