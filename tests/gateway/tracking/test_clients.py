"""Segment's own clients, unmodified, pointed at the gateway: all six calls land."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tessera.profiles.v1 import profiles_service_pb2 as pb

from tests.gateway.tracking.sources import Source

ROOT = Path(__file__).parents[3]
PYTHON, NODE = (ROOT / "tests" / "gateway" / f"analytics_{name}" for name in ("python", "node"))


def installed(name: str, lock: Path, install: Callable[[Path], list[str]]) -> Path:
    """The folder that holds what ``lock`` says, in the git-ignored ``build``; made once for each content of it."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = ROOT / "build" / f"{name}-{digest}"
    if not folder.exists():
        coming = folder.with_name(f"{folder.name}.{os.getpid()}")
        coming.mkdir(parents=True)
        done = subprocess.run(install(coming), cwd=coming, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            shutil.rmtree(coming)
            said = (done.stderr or done.stdout).strip()
            assert "integrity" not in said.lower(), said
            assert "DO NOT MATCH THE HASHES" not in said, said
            pytest.skip(f"{name} cannot be installed: {said.splitlines()[-1] if said else done.returncode}")
        coming.rename(folder)
    return folder


@pytest.fixture
def analytics_python() -> Path:
    requirements = PYTHON / "requirements.txt"

    def install(folder: Path) -> list[str]:
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        return [
            sys.executable,
            "-m",
            "pip",
            "install",
            *options,
            "--target",
            str(folder),
            "--requirement",
            str(requirements),
        ]

    return installed("analytics_python", requirements, install)


@pytest.fixture
def analytics_node() -> Path:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")

    def install(folder: Path) -> list[str]:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NODE / name, folder)
        return [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]

    return installed("analytics_node", NODE / "package-lock.json", install)


async def sent(source: Source, *command: str, **environment: str) -> None:
    """Run a client to its end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        source.url,
        source.write_key,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()


async def landed(source: Source, library: str) -> None:
    """All six calls are there, as they were sent."""
    assert await source.dead_letters() == []
    timeline = await source.timeline("7")
    assert set(timeline) == {"Identify", "Product Viewed", "Home", "Start", "Group", "Alias"}
    assert json.loads(timeline["Product Viewed"].properties_json) == {"product_id": "p1"}
    home = json.loads(timeline["Home"].properties_json)
    assert (home["category"], home["url"]) == ("Shop", "https://shop.example/")
    assert timeline["Alias"].alias_outcome == pb.ALIAS_OUTCOME_JOINED
    for event in timeline.values():
        assert json.loads(event.context_json)["library"]["name"] == library
        assert abs(event.record_time.seconds - event.event_time.seconds) < 60
    customer = await source.customer("anonymous_id", "device")
    assert {identifier.value for identifier in customer.identifiers} >= {"7", "device"}
    assert [(trait.name, trait.value_json) for trait in customer.traits] == [("city", '"Lyon"')]
    assert [(group.group_id, group.traits[0].value_json) for group in customer.groups] == [("family", "4")]


async def test_all_six_calls_of_the_python_client_land(source: Source, analytics_python: Path) -> None:
    await sent(source, sys.executable, str(PYTHON / "send.py"), PYTHONPATH=str(analytics_python))
    await landed(source, "analytics-python")


async def test_all_six_calls_of_the_node_client_land(source: Source, analytics_node: Path) -> None:
    await sent(source, "node", str(NODE / "send.cjs"), NODE_PATH=str(analytics_node / "node_modules"))
    await landed(source, "@segment/analytics-node")


def test_a_lock_names_a_hash_of_everything_and_no_place() -> None:
    packages = json.loads((NODE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert all(package.keys() >= {"version", "integrity"} for name, package in packages.items() if name)
    assert not any("resolved" in package for package in packages.values())
    lines = (PYTHON / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line and "--hash=sha256:" in line for line in lines if line and not line.startswith("#"))
