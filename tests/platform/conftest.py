"""The chart, rendered once for each set of values; and the telemetry of this process."""

import pytest

from tests.listening import _spans, metric_reader, spans
from tests.platform import manifests
from tests.platform.manifests import Manifest

__all__ = ["_spans", "metric_reader", "spans"]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Manifest]]:
    """The manifests for each set of values."""
    return {name: manifests.load(manifests.render(values)) for name, values in manifests.PROFILES.items()}


@pytest.fixture(scope="session")
def production(rendered: dict[str, list[Manifest]]) -> list[Manifest]:
    """The manifests of a release with servers for everything."""
    return rendered["production"]
