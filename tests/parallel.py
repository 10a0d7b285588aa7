"""What runs beside what when several processes share the suite: a module stays together, and so does what is dear.

The tests of one module share its fixtures. Those that need Spark, and those of `make run`, share one server that takes
long to start and much memory; they come first, so that nobody waits for them in the end.
"""

import pytest

MAKE_RUN, SPARK = "make run", "spark"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its group, for ``--dist loadgroup``, and put the long groups first."""
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (groups[item] != MAKE_RUN, groups[item] != SPARK))


def _group(item: pytest.Item) -> str:
    module = item.nodeid.split("::")[0]
    name = module.rpartition("/")[2]
    if name.startswith(("test_run_", "test_main_job_")):
        return MAKE_RUN
    return SPARK if item.get_closest_marker("spark") else module
