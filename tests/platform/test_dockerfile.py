"""The image: linted, pinned, built in two stages, run by a user with a number and without a compiler."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.platform.manifests import CHART, FIXTURES, Manifest, Refused, container, of_kind, render
from tests.platform.test_chart import expected

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "k8s" / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(keyword.upper(), arguments.strip()) for keyword, _, arguments in found]


def check(path: Path) -> None:
    """Refuse a Dockerfile that hadolint or this project does not accept."""
    done = subprocess.run([str(HADOLINT), "--no-color", str(path)], capture_output=True, text=True, check=False)
    linted = [done.stdout + done.stderr] if done.returncode else []
    if faults := [*linted, *_own_rules(instructions(path.read_text()))]:
        raise Refused("\n".join(faults))


def _own_rules(found: list[tuple[str, str]]) -> Iterator[str]:
    for base in (arguments.split()[0] for keyword, arguments in found if keyword == "FROM"):
        if not re.search(r":\d+\.\d+", base):
            yield f"{base} is not pinned to major.minor"
    for command in (arguments for keyword, arguments in found if keyword == "RUN"):
        if "pip install" in command and not re.search(r"--constraint constraints\.txt|--no-deps", command):
            yield f"pip installs without constraints.txt: {command}"
    last = found[max(index for index, (keyword, _) in enumerate(found) if keyword == "FROM") :]
    if any(re.search(r"apt-get|pip install", arguments) for keyword, arguments in last if keyword == "RUN"):
        yield "the last stage installs packages"
    users = [arguments for keyword, arguments in last if keyword == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        yield "the user of the image is not numeric"


def test_the_dockerfile_is_accepted() -> None:
    check(DOCKERFILE)


@pytest.mark.parametrize("fixture", sorted((FIXTURES / "broken_dockerfiles").iterdir()), ids=lambda path: path.name)
def test_a_broken_dockerfile_is_refused(fixture: Path) -> None:
    with pytest.raises(Refused) as refusal:
        check(fixture)
    assert expected(fixture) in str(refusal.value)


def test_everything_that_is_copied_is_there_and_let_through() -> None:
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    through = {line.removeprefix("!").rstrip("/") for line in ignored if line.startswith("!")}
    copies = [arguments.split() for keyword, arguments in instructions(DOCKERFILE.read_text()) if keyword == "COPY"]
    sources = [source.rstrip("/") for words in copies if not words[0].startswith("--from") for source in words[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in through, source


def test_the_image_and_the_chart_agree_on_user_folder_and_command(production: list[Manifest]) -> None:
    found = dict(instructions(DOCKERFILE.read_text()))
    for name, deployment in of_kind(production, "Deployment").items():
        pod, main = deployment["spec"]["template"]["spec"], container(deployment)
        security = pod["securityContext"]
        assert found["USER"] == f"{security['runAsUser']}:{security['runAsGroup']}"
        assert found["WORKDIR"] in {mount["mountPath"] for mount in main["volumeMounts"]}
        component = name.removeprefix("tessera-")
        entry = ["gateway"] if component == "gateway" else ["services", component]
        assert main["command"] == ["python", "-m", *entry]


def test_every_image_is_an_extra_of_the_project() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    images = set(re.findall(r'image: "tessera-(\w+):', render()))
    assert len(images) == 7
    assert images <= set(extras)


def test_the_versions_of_chart_and_project_are_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
