"""What runs beside what when several processes share the suite: a module stays together, and so does what is dear.

The tests of one module share its fixtures. Those that need Spark, and those of `make run`, share one server that takes
long to start and much memory; they come first, so that nobody waits for them in the end.
"""

import re

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

MAKE_RUN, SPARK = "make run", "spark"


class Together(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Gives each group of tests to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """The scheduler, whatever ``--dist`` says."""
    return Together(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long groups first."""
    items.sort(key=lambda item: (group(item.nodeid) != MAKE_RUN, group(item.nodeid) != SPARK))


def group(nodeid: str) -> str:
    """The group of a test: its module, or what it shares with other modules."""
    module = nodeid.split("::")[0]
    if module.rpartition("/")[2].startswith(("test_run_", "test_main_job_")):
        return MAKE_RUN
    return SPARK if re.search(r"[\[-]spark[\]-]", nodeid) else module
