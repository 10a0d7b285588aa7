"""The chart rendered once for each set of values, and one ``make run`` for all tests of the main job."""

import re
from collections.abc import Iterator

import pytest

from tests.platform import manifests
from tests.platform.demo import Client, Demo
from tests.platform.manifests import Manifest
from tests.platform.retailer import Retailer


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Manifest]]:
    """The manifests for each set of values."""
    return {name: manifests.load(manifests.render(values)) for name, values in manifests.PROFILES.items()}


@pytest.fixture(scope="session")
def production(rendered: dict[str, list[Manifest]]) -> list[Manifest]:
    """The manifests of a release with servers for everything."""
    return rendered["production"]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The one data folder that ``make run`` fills once, for about two minutes, for all tests."""
    demo = Demo(tmp_path_factory.mktemp("make-run") / "data")
    yield demo
    demo.stop()


@pytest.fixture
def client(demo: Demo) -> Iterator[Client]:
    """A client of the platform with the sample retailer in it."""
    with demo.serving() as client:
        yield client


@pytest.fixture
def retailer(demo: Demo, client: Client) -> Retailer:
    """The raw tables, moved by as many weeks as the command said."""
    return _retailer(demo)


_retailers: dict[int, Retailer] = {}


def _retailer(demo: Demo) -> Retailer:
    (weeks,) = re.findall(r"all times move by\s+(\d+)\s+weeks", demo.first)
    return _retailers.setdefault(int(weeks), Retailer(int(weeks)))
