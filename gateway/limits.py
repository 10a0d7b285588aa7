"""What a document may ask for, decided before anything is executed: its size and its shape; `cost` says the rest."""

from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from services.common.errors import InvalidArgument


class DepthExceeded(InvalidArgument):
    """Selections are nested too deeply. Metadata ``maximum``."""


class AliasesExceeded(InvalidArgument):
    """Too many fields have an alias. Metadata ``maximum``."""


class RootFieldsExceeded(InvalidArgument):
    """Too many root fields. Metadata ``maximum``."""


class CostExceeded(InvalidArgument):
    """The document asks for more than one request may. Metadata ``cost`` and ``maximum``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for."""

    document_characters_max: int = 50_000
    tokens_max: int = 5_000
    depth_max: int = 12
    aliases_max: int = 30
    root_fields_max: int = 20
    cost_max: int = 50_000


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of an operation, its fragments unfolded."""

    depth: int
    aliases: int
    fields: int


def check_shape(document: DocumentNode, limits: Limits) -> None:
    """Refuse a document whose shape is beyond the limits; works on documents that are not validated yet."""
    measuring = _Measuring(document)
    for operation in operations(document):
        shape = measuring.measure(operation.selection_set)
        if shape.depth > limits.depth_max:
            raise DepthExceeded(f"nested {shape.depth} deep; at most {limits.depth_max}", maximum=limits.depth_max)
        if shape.aliases > limits.aliases_max:
            raise AliasesExceeded(f"{shape.aliases} aliases; at most {limits.aliases_max}", maximum=limits.aliases_max)
        if shape.fields > limits.root_fields_max:
            text = f"{shape.fields} root fields; at most {limits.root_fields_max}"
            raise RootFieldsExceeded(text, maximum=limits.root_fields_max)


class _Measuring:
    """Measures selections; each fragment once, so that fragments of fragments cost no time."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = fragments(document)
        self._measured: dict[str, Shape] = {}

    def measure(self, selections: SelectionSetNode | None) -> Shape:
        depth = aliases = fields = 0
        for selection in selections.selections if selections else ():
            inner = self._inside(selection)
            depth = max(depth, inner.depth)
            aliases += inner.aliases
            fields += inner.fields
        return Shape(depth, aliases, fields)

    def _inside(self, selection: Any) -> Shape:
        if isinstance(selection, FragmentSpreadNode):
            return self._fragment(selection.name.value)
        inner = self.measure(selection.selection_set)
        if not isinstance(selection, FieldNode):
            return inner
        if selection.name.value.startswith("__"):
            return Shape(1, 0, 1)  # introspection has a limit of its own among the rules of validation
        return Shape(inner.depth + 1, inner.aliases + (selection.alias is not None), 1)

    def _fragment(self, name: str) -> Shape:
        if name not in self._measured:
            self._measured[name] = Shape(0, 0, 0)  # a cycle, which validation refuses, ends here
            fragment = self._fragments.get(name)
            self._measured[name] = self.measure(fragment.selection_set if fragment else None)
        return self._measured[name]


def check_cost(cost: int, limits: Limits) -> None:
    """``CostExceeded`` if an operation costs too much."""
    if cost > limits.cost_max:
        text = f"this request costs {cost}, and at most {limits.cost_max} is allowed; ask for smaller pages"
        raise CostExceeded(text, cost=cost, maximum=limits.cost_max)


def operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    """The operations of a document."""
    return [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]


def fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    """The fragments of a document, by name."""
    return {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
