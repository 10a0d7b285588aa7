"""Generates ``protos/gen`` from the contracts; ``--check`` fails if what is committed is stale.

Writes, for each contract, the messages, the gRPC classes and their type stubs, and once the descriptors of all
contracts with their comments (``descriptors.binpb``), from which the gateway takes descriptions and buf lints.
"""

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
GENERATED = PROTOS / "gen"


def contracts() -> list[str]:
    """Every contract, relative to ``protos/``."""
    return sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "tessera").rglob("*.proto"))


def generate(into: Path) -> None:
    """Write everything that is generated under ``into``."""
    services = [name for name in contracts() if name.endswith("_service.proto")]
    _protoc(f"--python_out={into}", f"--mypy_out=quiet:{into}", *contracts())
    if services:
        _protoc(f"--grpc_python_out={into}", f"--mypy_grpc_out=quiet:{into}", *services)
    _protoc(
        "--include_imports", "--include_source_info", f"--descriptor_set_out={into}/descriptors.binpb", *contracts()
    )
    for folder in {into / "tessera", *(path.parent for path in into.rglob("*_pb2.py"))}:
        (folder / "__init__.py").touch()
        (folder.parent / "__init__.py").touch()
    (into / "__init__.py").unlink()
    (into / "tessera" / "py.typed").touch()
    shutil.copy(into / "descriptors.binpb", into / "tessera" / "descriptors.binpb")
    (into / "descriptors.binpb").unlink()


def _protoc(*arguments: str) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}", *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if subprocess.run(command, check=False, env={**os.environ, "PATH": path}).returncode:
        sys.exit("protos: protoc refused a contract; its message is above")


def _differences(fresh: Path) -> list[str]:
    names = {str(p.relative_to(root)) for root in (fresh, GENERATED) for p in root.rglob("*") if p.is_file()}
    wanted = sorted(name for name in names if "__pycache__" not in name)
    _, different, missing = filecmp.cmpfiles(fresh, GENERATED, wanted, shallow=False)
    return sorted([*different, *missing])


def main() -> None:
    """Generate, or with ``--check`` compare."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        if "--check" in sys.argv:
            stale = _differences(fresh)
            if stale:
                sys.exit(f"protos/gen is stale, run `make protos`: {', '.join(stale)}")
            return
        for name in _differences(fresh):
            target, source = GENERATED / name, fresh / name
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
            else:
                target.unlink()


if __name__ == "__main__":
    main()
