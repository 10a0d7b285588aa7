"""What traits may be: names and values that every store keeps as they are."""

from collections.abc import Mapping
from typing import Any

from services.common.errors import InvalidArgument

NAME_LENGTH_MAX = 256
DEPTH_MAX = 16
TRAITS_MAX = 500
"""How many traits a customer, or a group of a customer, has; past it those heard of longest ago go."""
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1


class TraitsInvalid(InvalidArgument):
    """Traits with a name or a value that cannot be kept. Metadata ``field``."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'a trait'} {problem}", field=path)


def check_traits(traits: Mapping[str, Any]) -> None:
    """``TraitsInvalid`` at the first name or value that cannot be kept."""
    if len(traits) > TRAITS_MAX:
        raise TraitsInvalid("", f"too many: at most {TRAITS_MAX} traits are taken at once")
    for name, value in traits.items():
        _check_name(name, "")
        _check_value(value, name, 1)


def _check_name(name: str, path: str) -> None:
    if not name or len(name) > NAME_LENGTH_MAX or "\0" in name:
        raise TraitsInvalid(path, f"needs a name of 1 to {NAME_LENGTH_MAX} characters without NUL")


def _check_value(value: Any, path: str, depth: int) -> None:
    if type(value) is int and not _INTEGER_MIN <= value <= _INTEGER_MAX:
        raise TraitsInvalid(path, "must be an integer of at most 64 bits; send a larger one as text")
    if not isinstance(value, (dict, list)):
        return
    if depth > DEPTH_MAX:
        raise TraitsInvalid(path[:NAME_LENGTH_MAX], f"is nested deeper than {DEPTH_MAX}")
    if isinstance(value, list):
        for index, element in enumerate(value):
            _check_value(element, f"{path}[{index}]", depth + 1)
        return
    for name, element in value.items():
        _check_name(name, path)
        _check_value(element, f"{path}.{name}", depth + 1)
