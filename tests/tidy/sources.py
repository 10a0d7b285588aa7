"""The files that the tidy tests read."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = ("profiles", "segmentation", "recommendation", "forecasting", "loyalty", "crm")
CODE = ("services", "gateway", "deploy", "benchmarks")
"""What runs; tests are read by the same rules except for size."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method, and how long it is from its ``def`` to its last line."""

    where: str
    lines: int


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is, or is about to be, in the repository; ignored ones are not."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def written(*suffixes: str) -> list[Path]:
    """The project's files that people write, generated ones left out, of these suffixes or of all."""
    chosen = [path for path in project_files() if not relative(path).startswith("protos/gen/")]
    return [path for path in chosen if not suffixes or path.suffix in suffixes]


def modules(*folders: str) -> list[Path]:
    """The Python modules under these folders, or all that people write."""
    found = written(".py")
    return [path for path in found if not folders or relative(path).split("/")[0] in folders]


def relative(path: Path) -> str:
    """The path from the root of the repository, with slashes."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[Function]:
    """The functions of a module, nested ones too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield Function(f"{relative(path)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The modules that a module imports, with the line; ``from a import b`` is ``a.b``."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno} imports relatively"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def text(path: Path) -> str | None:
    """What a file says, or None where it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
