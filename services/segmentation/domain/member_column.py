"""Columns that files of members have beside their own: a trait of each customer, as it is or hashed."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.common.errors import InvalidArgument

OWN_COLUMNS = frozenset({"customer_id", "enter_time", "transition", "time"})
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class MemberColumnsInvalid(InvalidArgument):
    """A file cannot have these columns. Metadata ``column``."""


class MemberHash(IntEnum):
    """What is made of a value before it is written; the numbers are those of the contract."""

    NONE = 0
    SHA256 = 1
    SHA256_DIGITS = 2


@dataclass(frozen=True, slots=True)
class MemberColumn:
    """A trait, by its path, under a name."""

    trait: str
    name: str
    hash: MemberHash = MemberHash.NONE

    def cell(self, value: str | float | bool | None) -> str | None:
        """What the file holds of a value; ``None`` where there is nothing."""
        text = _text(value)
        if self.hash is MemberHash.NONE or text is None:
            return text
        kept = re.sub(r"[^0-9]", "", text) if self.hash is MemberHash.SHA256_DIGITS else text.strip().lower()
        return hashlib.sha256(kept.encode()).hexdigest() if kept else None


def _text(value: str | float | bool | None) -> str | None:
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case _:
            return str(int(value)) if value == int(value) else repr(value)


def columns_fault(columns: Sequence[MemberColumn]) -> tuple[str, str] | None:
    """What is wrong with them: the name of the column, and words."""
    seen = set(OWN_COLUMNS)
    for column in columns:
        if not _NAME.match(column.name):
            return column.name, f"{column.name!r} is no name of a column: letters, digits and _.-, at most 64"
        if column.name in seen:
            return column.name, f"there are two columns {column.name}; give one of them another name"
        seen.add(column.name)
    return None


def check_columns(columns: Sequence[MemberColumn]) -> None:
    """``MemberColumnsInvalid``."""
    if (wrong := columns_fault(columns)) is not None:
        raise MemberColumnsInvalid(wrong[1], column=wrong[0])
