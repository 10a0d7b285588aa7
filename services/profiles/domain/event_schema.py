"""A tenant's own schema of an event: JSON Schema 2020-12, of a size and shape that cannot run away."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from services.common.errors import InvalidArgument

SCHEMAS_MAX = 200
"""How many events of a tenant may have a schema."""
VERSIONS_MAX = 100
"""How many versions of a schema are kept; past it the oldest go."""
BYTES_MAX = 64 * 1024
DEPTH_MAX = 32
NODES_MAX = 1_000
"""How many objects and lists a schema has once its references are followed: what bounds the time of a check."""
_REFUSED = ("$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$anchor", "$vocabulary")


class SchemaInvalid(InvalidArgument):
    """No JSON Schema that can be enforced. Metadata ``path`` says where in the schema."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"the schema is wrong at {path or 'its root'}: {problem}", path=path)


class Mode(IntEnum):
    """What becomes of an event that breaks its schema; the numbers are those of the contract."""

    REJECT = 1
    WARN = 2


@dataclass(frozen=True, slots=True)
class EventSchema:
    """One version of the schema of one event. Times are microseconds."""

    event_name: str
    version: int
    mode: Mode
    json: str
    create_time: int


def check_shape(schema: Any) -> None:
    """``SchemaInvalid`` if a check by this schema could take long, or needs anything but this schema.

    References are pointers into the same schema and form no circle; with all of them followed, it is still small.
    """
    if not isinstance(schema, dict):
        raise SchemaInvalid("", "it must be an object")
    _Shape(schema).size(schema, "", 1)


class _Shape:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._sizes: dict[str, int] = {}
        self._open: set[str] = set()

    def size(self, node: Any, path: str, depth: int) -> int:
        """How many objects and lists there are in ``node``, each reference counted as what it leads to."""
        if depth > DEPTH_MAX:
            raise SchemaInvalid(path, f"it is nested deeper than {DEPTH_MAX}")
        if isinstance(node, dict):
            self._keywords(node, path)
        total = 1 + sum(self.size(part, f"{path}/{name}", depth + 1) for name, part in _parts(node))
        if isinstance(node, dict) and "$ref" in node:
            total += self._referred(node["$ref"], path, depth)
        if total > NODES_MAX:
            raise SchemaInvalid(path, f"with its references followed it has more than {NODES_MAX} parts")
        return total

    def _keywords(self, node: Mapping[str, Any], path: str) -> None:
        for name in _REFUSED:
            if name in node:
                raise SchemaInvalid(path, f"{name} cannot be used here; refer by $ref to #/$defs")
        if path and isinstance(node.get("$id"), str):
            raise SchemaInvalid(path, "only the root may have an $id")

    def _referred(self, reference: Any, path: str, depth: int) -> int:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise SchemaInvalid(path, "$ref must begin with #/: nothing outside of the schema is read")
        if reference in self._open:
            raise SchemaInvalid(path, f"$ref {reference} leads back to itself; say how deep it may go instead")
        if reference not in self._sizes:
            self._open.add(reference)
            self._sizes[reference] = self.size(self._target(reference, path), reference[1:], depth + 1)
            self._open.remove(reference)
        return self._sizes[reference]

    def _target(self, reference: str, path: str) -> Any:
        node: Any = self._root
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
                node = node[int(name)]
            else:
                raise SchemaInvalid(path, f"$ref {reference} leads nowhere")
        return node


def _parts(node: Any) -> Iterator[tuple[str, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return ((str(name), part) for name, part in items if isinstance(part, (dict, list)))
