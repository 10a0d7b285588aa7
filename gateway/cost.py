"""What an operation costs, known before it is executed.

An object costs 1, and a mutation 10; leaves are free. What is inside a list costs as often as the list is long: as
``first`` says, otherwise as ``LIST_SIZE`` assumes. Conditions (``@include``, ``@skip``) count as if they held.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from gateway.limits import fragments, operations

LIST_SIZE = 5
MUTATION_COST = 10
PAGE_ARGUMENT = "first"

Variables = Mapping[str, Any]
Cost = Callable[[Variables], int]


def costs(schema: GraphQLSchema, document: DocumentNode) -> dict[str, Cost]:
    """The cost of each operation of a valid document, by name, as a function of the variables."""
    return {
        operation.name.value if operation.name else "": _Pricing(schema, document, operation).cost()
        for operation in operations(document)
    }


class _Pricing:
    """Turns an operation into a function of the variables; what does not depend on them becomes a constant."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._operation = operation
        self._fragments = fragments(document)
        self._priced: dict[tuple[str, bool], Cost] = {}
        self._defaults = {
            each.variable.name.value: int(each.default_value.value)
            for each in operation.variable_definitions or ()
            if isinstance(each.default_value, IntValueNode)
        }

    def cost(self) -> Cost:
        operation = self._operation
        inside = self._selections(self._schema.get_root_type(operation.operation), operation.selection_set, False)
        changes = len(operation.selection_set.selections) if operation.operation is OperationType.MUTATION else 0
        return _sum([_Constant(MUTATION_COST * changes), inside])

    def _selections(self, parent: GraphQLNamedType | None, selections: SelectionSetNode | None, paged: bool) -> Cost:
        return _sum([self._selection(parent, each, paged) for each in (selections.selections if selections else ())])

    def _selection(self, parent: GraphQLNamedType | None, selection: Any, paged: bool) -> Cost:
        if isinstance(selection, FragmentSpreadNode):
            return self._fragment(selection.name.value, paged)
        if isinstance(selection, InlineFragmentNode):
            condition = selection.type_condition
            kind = self._schema.type_map.get(condition.name.value) if condition else parent
            return self._selections(kind, selection.selection_set, paged)
        return self._field(parent, selection, paged)

    def _fragment(self, name: str, paged: bool) -> Cost:
        """The cost of a fragment: worked out once, so that fragments of fragments cost no time."""
        if (name, paged) not in self._priced:
            fragment = self._fragments[name]
            kind = self._schema.type_map.get(fragment.type_condition.name.value)
            self._priced[name, paged] = self._selections(kind, fragment.selection_set, paged)
        return self._priced[name, paged]

    def _field(self, parent: GraphQLNamedType | None, node: FieldNode, paged: bool) -> Cost:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) or node.name.value not in parent.fields:
            return _Constant(0)  # __typename, __schema and __type
        field = parent.fields[node.name.value]
        kind = get_named_type(field.type)
        if is_leaf_type(kind):
            return _Constant(0)
        is_page = PAGE_ARGUMENT in field.args
        size = self._page_size(field, node) if is_page else _Constant(_list_size(field.type, paged))
        inside = self._selections(kind, node.selection_set, is_page and not _is_list(field.type))
        return _times(size, _sum([_Constant(1), inside]))

    def _page_size(self, field: GraphQLField, node: FieldNode) -> Cost:
        declared = field.args[PAGE_ARGUMENT].default_value
        default = declared if isinstance(declared, int) else LIST_SIZE
        given = next((each.value for each in node.arguments or () if each.name.value == PAGE_ARGUMENT), None)
        if isinstance(given, IntValueNode):
            return _Constant(max(1, int(given.value)))
        if isinstance(given, VariableNode):
            return _variable(given.name.value, self._defaults.get(given.name.value, default))
        return _Constant(default)


@dataclass(frozen=True, slots=True)
class _Constant:
    amount: int

    def __call__(self, variables: Variables) -> int:
        return self.amount


def _list_size(kind: GraphQLOutputType, paged: bool) -> int:
    """How long a list is taken to be. The lists of a page are as long as its ``first``, which counts already."""
    return LIST_SIZE if _is_list(kind) and not paged else 1


def _is_list(kind: GraphQLOutputType) -> bool:
    return is_list_type(kind.of_type if is_non_null_type(kind) else kind)


def _variable(name: str, default: int) -> Cost:
    def size(variables: Variables) -> int:
        given = variables.get(name, default)
        return max(1, given) if isinstance(given, int) else default

    return size


def _sum(parts: Iterable[Cost]) -> Cost:
    fixed, varying = 0, []
    for part in parts:
        if isinstance(part, _Constant):
            fixed += part.amount
        else:
            varying.append(part)
    return (lambda variables: fixed + sum(part(variables) for part in varying)) if varying else _Constant(fixed)


def _times(size: Cost, inside: Cost) -> Cost:
    if isinstance(size, _Constant) and isinstance(inside, _Constant):
        return _Constant(size.amount * inside.amount)
    return lambda variables: size(variables) * inside(variables)
