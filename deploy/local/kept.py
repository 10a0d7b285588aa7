"""Small facts that ``make run`` keeps beside the data: each file is written whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from services.common.errors import DataLoss

T = TypeVar("T")


class FactDamaged(DataLoss):
    """A file that this command wrote cannot be understood."""


def write(path: Path, text: str) -> None:
    """Keep ``text``, whenever the process is killed."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    os.replace(new, path)


def read(path: Path, understand: Callable[[str], T]) -> T | None:
    """What was kept; ``None`` if nothing was."""
    if not path.exists():
        return None
    try:
        return understand(path.read_text())
    except (ValueError, TypeError) as error:
        raise FactDamaged(f"{path} is damaged: remove it, and the next start makes it anew") from error
