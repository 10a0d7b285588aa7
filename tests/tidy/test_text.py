"""What the project's files say: nothing left undone, nothing of one machine, links that lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.tidy.sources import ROOT, relative, text, written

LEFT_UNDONE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
OF_ONE_MACHINE = re.compile(r"(?<![\w.])/(work|root|home|Users|opt/(pypi|wheels))/")
REGISTRIES = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|(docker|quay|ghcr)\.io|pytorch\.org|crates\.io|debian\.org"
    r"|proxy\.golang\.org|gcr\.io|mcr\.microsoft\.com|maven\.org)\b|--(extra-)?index-url[ =]\s*\S*//"
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
SELF = Path(__file__).resolve()


def _lines(pattern: re.Pattern[str]) -> Iterator[str]:
    for path in written():
        if path.resolve() == SELF:
            continue
        for number, line in enumerate((text(path) or "").splitlines(), 1):
            if pattern.search(line):
                yield f"{relative(path)}:{number} {line.strip()[:100]}"


def test_nothing_is_left_undone() -> None:
    assert list(_lines(LEFT_UNDONE)) == []


def test_no_path_of_one_machine_is_written_down() -> None:
    assert list(_lines(OF_ONE_MACHINE)) == []


def test_no_address_of_a_package_registry_is_written_down() -> None:
    assert list(_lines(REGISTRIES)) == []


@pytest.mark.parametrize("page", written(".md"), ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [first or second for first, second in LINK.findall(page.read_text(encoding="utf-8"))]
    for target in targets:
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            found = (page.parent / file).resolve() if file else page
            assert found.exists(), f"{relative(page)} links to {target}"
            assert not anchor or anchor in _anchors(found), f"{relative(page)} links to {target}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_says_where_each_service_listens() -> None:
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    topology = yaml.safe_load((ROOT / "deploy" / "k8s" / "chart" / "topology.yaml").read_text(encoding="utf-8"))
    for name, component in topology["components"].items():
        assert any(name in row and str(component["port"]) in row for row in rows), name


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted(folder.glob("[0-9]*.md")) if f"({path.name})" not in index] == []
