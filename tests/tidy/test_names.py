"""Names say what a thing is, the six services have the same ones, and every module says what it is for."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from services.__main__ import NAMES
from tests.tidy.sources import ROOT, SERVICES, modules, relative, tree, written

WITHOUT_MEANING = {"util", "utils", "helper", "helpers", "misc", "base", "manager", "managers"}
EACH_SERVICE_HAS = {"__init__.py", "README.md", "domain", "ports", "handlers", "servicer", "adapters", "app.py"}
LEARNING = {"segmentation", "recommendation", "forecasting"}
COMMON_DOES_NOT_KNOW = {"customer", "segment", "campaign", "coupon", "loyalty", "forecast", "ticket", "journey"}


def test_no_file_or_folder_is_called_what_could_be_anything() -> None:
    words = {relative(path): set(re.split(r"[/._-]", relative(path).lower())) for path in written()}
    assert {name for name, parts in words.items() if parts & WITHOUT_MEANING} == set()


def test_the_same_services_are_named_everywhere() -> None:
    chart = yaml.safe_load((ROOT / "deploy" / "k8s" / "chart" / "topology.yaml").read_text(encoding="utf-8"))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    contracts = re.findall(
        r"^    services\.([a-z]+)$", (ROOT / ".importlinter").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(chart["components"]) == {*SERVICES, "gateway"}
    assert {*SERVICES, "gateway"} <= set(extras)
    assert set(contracts) - {"common"} == set(SERVICES)
    assert NAMES == SERVICES
    assert {path.name for path in (ROOT / "protos" / "tessera").iterdir()} == {*SERVICES, "common"}


def test_every_module_says_what_it_is_for() -> None:
    written_in = [path for path in modules() if path.read_text(encoding="utf-8").strip()]
    assert [relative(path) for path in written_in if not ast.get_docstring(tree(path))] == []


@pytest.mark.parametrize("service", SERVICES)
def test_all_services_have_the_same_parts(service: str) -> None:
    folder = ROOT / "services" / service
    parts = {path.name for path in folder.iterdir() if path.name != "__pycache__"}
    parts = {"ports" if name == "ports.py" else name for name in parts}  # a file, or a package of several
    assert parts - {"learning"} == EACH_SERVICE_HAS
    assert "learning" not in parts or service in LEARNING


@pytest.mark.parametrize("service", SERVICES)
def test_every_package_of_a_service_is_one(service: str) -> None:
    folders = {path.parent for path in modules("services") if path.is_relative_to(ROOT / "services" / service)}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_entered_through_settings_and_serve(service: str) -> None:
    body = tree(ROOT / "services" / service / "app.py").body
    names = {node.name for node in body if isinstance(node, ast.ClassDef | ast.AsyncFunctionDef | ast.FunctionDef)}
    assert {"Settings", "serve"} <= names


@pytest.mark.parametrize("service", SERVICES)
def test_the_page_of_a_service_names_its_rpcs(service: str) -> None:
    page = (ROOT / "services" / service / "README.md").read_text(encoding="utf-8")
    assert [rpc for rpc in _rpcs(service) if rpc not in page] == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_servicer_answers_every_rpc(service: str) -> None:
    parts = [tree(path) for path in modules("services") if relative(path).startswith(f"services/{service}/servicer/")]
    nodes = [node for part in parts for node in ast.walk(part)]
    methods = {node.name for node in nodes if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}
    assert set(_rpcs(service)) <= methods


def test_common_has_no_noun_of_the_business() -> None:
    names = [path for path in modules("services") if relative(path).startswith("services/common/")]
    assert [relative(path) for path in names if set(path.stem.split("_")) & COMMON_DOES_NOT_KNOW] == []


def _rpcs(service: str) -> list[str]:
    contract: Path = ROOT / "protos" / "tessera" / service / "v1" / f"{service}_service.proto"
    return re.findall(r"^\s*rpc (\w+)\(", contract.read_text(encoding="utf-8"), re.MULTILINE)
