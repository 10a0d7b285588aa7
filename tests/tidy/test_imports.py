"""What import-linter cannot say: one file a driver, and only some modules of an adapter know the wire."""

import re

import pytest

from tests.tidy.sources import SERVICES, imports, modules, relative

DRIVERS = {
    "motor": r"services/common/store/mongo\w*\.py",
    "pymongo": r"services/common/store/mongo\w*\.py",
    "bson": r"services/common/store/mongo\w*\.py",
    "sqlite3": r"services/common/store/sqlite\w*\.py",
    "duckdb": r"services/common/columnar/\w+\.py",
    "ibis": r"services/(common/(columnar|flat)|\w+/adapters)/\w+\.py",
    "pyspark": r"services/common/columnar/\w+\.py",
    "faiss": r"services/recommendation/adapters/\w+\.py",
    "torch": r"services/(\w+/learning/\w+|recommendation/adapters/training_process)\.py",
    "aiosmtplib": r"services/crm/adapters/\w+\.py",
    "opentelemetry": r"(services/common/[\w/]+|gateway/\w+)\.py",
    "secantus": r"nowhere: it is a server under another licence, started as a process by tests",
}
"""Who may import a driver: the files that replacing it would change."""


SHARED_BY_DESIGN: set[str] = set()
"""What others will use, and one does so far; a second user takes it off this list."""


def _running(*folders: str) -> list[tuple[str, int, str]]:
    """Every import of what runs: file, line, module."""
    return [(relative(path), line, name) for path in modules(*folders) for line, name in imports(path)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_is_known_in_one_place(driver: str) -> None:
    found = [(file, line) for file, line, name in _running("services", "gateway") if name.split(".")[0] == driver]
    assert [where for where in found if not re.fullmatch(DRIVERS[driver], where[0])] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_meets_contracts_at_its_edges_alone(service: str) -> None:
    own = rf"services/{service}/(servicer/\w+|app)\.py"
    shared = rf"services/{service}/(servicer/\w+\.py|app\.py|adapters/[\w/]+\.py)"
    others = rf"services/{service}/(app|adapters/(clients|events)(/\w+)?)\.py"
    for file, line, name in _running("services"):
        if not file.startswith(f"services/{service}/") or not name.startswith("tessera."):
            continue
        met = name.split(".")[1]
        allowed = own if met == service else shared if met == "common" else others
        assert re.fullmatch(allowed, file), f"{file}:{line} imports {name}"


def test_what_is_shared_has_at_least_two_users() -> None:
    users: dict[str, set[str]] = {}
    within: dict[str, set[str]] = {}
    for file, _, name in _running("services", "gateway", "deploy"):
        for shared in re.findall(r"^services\.common\.(\w+)", name):
            folders = file.removesuffix(".py").split("/")
            if folders[:2] == ["services", "common"]:
                within.setdefault(shared, set()).add(folders[2])
            else:
                users.setdefault(shared, set()).add("/".join(folders[:2]))
    for _ in within:  # who uses a module uses what that one is made of, however deep
        for shared, inner in within.items():
            users.setdefault(shared, set()).update(*(users.get(each, ()) for each in inner))
    assert {shared for shared, by in users.items() if len(by) < 2} == SHARED_BY_DESIGN
