"""Metrics and spans are named as they are declared: read from the source, so that none escapes."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from services.common import telemetry
from tests.tidy.sources import SERVICES, modules, relative, tree

KINDS = ("counter", "gauge", "histogram")
UNITS = re.compile(r"ms|s|By|1|\{[a-z]+\}")
NAMED = re.compile(r"\b(?:telemetry|span)\b")
"""What a module with a metric or a span has in its text."""
SHARED = {"rpc", "feed"}
"""The first words of what every service has."""
ENGINES = {"store", "columnar"}


@dataclass(frozen=True)
class Use:
    """A place in the source that names a metric or a span; a name that is put together is a pattern."""

    where: str
    owner: str
    kind: str
    pattern: re.Pattern[str]
    text: str


def uses() -> Iterator[Use]:
    for path in modules("services", "gateway"):
        if not NAMED.search(path.read_text(encoding="utf-8")):
            continue  # a syntax tree takes a hundred times as long, and room for as long as the tests run
        parts = relative(path).split("/")
        owner = parts[1] if parts[0] == "services" and len(parts) > 2 else parts[0]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and (kind := _called(node)) and node.args:
                text = _text(node.args[0])
                assert text is not None, f"{relative(path)}:{node.lineno}: write the name of the {kind} out"
                pattern = re.compile(text.replace(".", r"\.").replace("*", "[a-z_]+"))
                yield Use(f"{relative(path)}:{node.lineno}", owner, kind, pattern, text)


def _called(node: ast.Call) -> str:
    """``counter`` for ``telemetry.counter(…)``, and so on; ``""`` for what is no telemetry."""
    function = node.func
    if isinstance(function, ast.Name) and function.id == "span":
        return "span"  # as the engines import it
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return ""
    return function.attr if function.value.id == "telemetry" and function.attr in (*KINDS, "span") else ""


def _text(node: ast.expr) -> str | None:
    """The name that an expression writes; ``*`` for each part that is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return None


USES = list(uses())
METRICS = [use for use in USES if use.kind in KINDS]


@pytest.mark.parametrize("use", METRICS, ids=lambda use: f"{use.where}-{use.text}")
def test_a_metric_is_declared_with_its_kind_and_belongs_to_who_emits_it(use: Use) -> None:
    declared = {name: row["kind"] for name, row in telemetry.declared().items() if use.pattern.fullmatch(name)}
    assert declared, f"{use.text} is not in services/metrics.toml"
    assert set(declared.values()) == {use.kind}
    first = use.text.partition(".")[0]
    assert first in SHARED if use.owner == "common" else first == use.owner


@pytest.mark.parametrize("name", telemetry.declared())
def test_a_declared_metric_is_emitted_somewhere(name: str) -> None:
    assert [use.where for use in METRICS if use.pattern.fullmatch(name)]


@pytest.mark.parametrize("name", telemetry.declared())
def test_a_declaration_is_whole(name: str) -> None:
    row = telemetry.declared()[name]
    assert set(row) == {"kind", "unit", "description"}
    assert row["kind"] in KINDS
    assert UNITS.fullmatch(row["unit"])
    assert row["description"].endswith(".")
    assert re.fullmatch(r"[a-z]+\.[a-z]+\.[a-z_]+", name), "<service>.<noun>.<what>"
    assert name.partition(".")[0] in {*SERVICES, "gateway", *SHARED}


def test_a_span_is_named_after_who_makes_it() -> None:
    spans = [use for use in USES if use.kind == "span"]
    wrong = [
        use.where
        for use in spans
        if use.text.partition(".")[0] not in (ENGINES if use.owner == "common" else {use.owner})
    ]
    assert (bool(spans), wrong) == (True, [])


def test_the_scan_finds_every_service() -> None:
    assert {use.owner for use in METRICS} == {*SERVICES, "gateway", "common"}
