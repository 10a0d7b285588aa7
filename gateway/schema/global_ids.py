"""Global ids: the type of an object and its id in the service, in one opaque text."""

import base64
import binascii
from urllib.parse import quote, unquote

_part_counts: dict[str, int] = {}


def register(name: str, part_count: int) -> None:
    """Make ``name`` a type whose objects have global ids of that many parts."""
    _part_counts[name] = part_count


def encode(name: str, *parts: str) -> str:
    """The id of the object of type ``name`` whose own id is made of ``parts``."""
    return base64.urlsafe_b64encode(f"{name}:{'/'.join(quote(part, safe='') for part in parts)}".encode()).decode()


def decode(given: str) -> tuple[str, list[str]] | None:
    """The type and the parts of a global id; ``None`` if it is none."""
    try:
        name, _, rest = base64.b64decode(given, altchars=b"-_", validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    parts = [unquote(part) for part in rest.split("/")]
    return (name, parts) if _part_counts.get(name) == len(parts) and all(parts) else None


def own_id(given: str) -> str:
    """The id in the service, of an object that is named by it or by its global id."""
    found = decode(given)
    return found[1][-1] if found else given
