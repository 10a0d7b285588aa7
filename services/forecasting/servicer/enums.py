"""Enums of the contract as those of the domain."""

from enum import IntEnum
from typing import TypeVar

from services.common.errors import InvalidArgument

E = TypeVar("E", bound=IntEnum)


def known(kind: type[E], number: int, field: str) -> E:
    """The value with this number; ``InvalidArgument`` if there is none."""
    try:
        return kind(number)
    except ValueError as error:
        raise InvalidArgument(f"{field} has no value {number}", field=field) from error
