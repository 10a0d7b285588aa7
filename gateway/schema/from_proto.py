"""Types of the schema from protobuf descriptors: a decorator lists the fields to expose, the rest follows.

| in the contract                             | in GraphQL                                                          |
|---------------------------------------------|---------------------------------------------------------------------|
| string, bool, double, int32                 | ``String!``, ``Boolean!``, ``Float!``, ``Int!``                     |
| string named ``…_id``                       | ``ID!``                                                             |
| string named ``…_json``                     | ``JSON``, null if empty, its name without the suffix                |
| int64, uint64, uint32                       | ``SafeInt!``                                                        |
| ``optional``, a member of a oneof, messages | nullable: null where it is unset                                    |
| enum                                        | nullable: ``…_UNSPECIFIED`` is null                                 |
| repeated, map                               | ``[T!]!``; a map is a list of its entries, by key                   |
| Timestamp, Duration                         | ``DateTime``, ``Duration``, nullable                                |
| a field that the contract requires          | never null                                                          |

In an input a field can be left out unless the contract requires it, and a message whose exposed fields are one oneof is
a ``@oneOf`` input. ``request_id`` can always be left out: the gateway then chooses one. Descriptions are the comments.

An object *is* the protobuf message: resolving a field is an attribute access on it.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from strawberry.schema_directives import OneOf
from strawberry.types.field import StrawberryField
from strawberry.types.unset import UNSET

from gateway.schema import descriptions
from gateway.schema.inputs import MessageBuilder
from gateway.schema.proto_fields import (
    ReadField,
    define,
    element_type,
    graphql_name,
    is_required,
    output_type,
    reader,
)

T = TypeVar("T", bound=type)


class UnknownField(AttributeError):
    """The message has no field of this name."""


class NotExposed(LookupError):
    """A field that is exposed has a type that is not."""


class ProtoTypes:
    """The messages that the schema exposes: each as one object type, and as one input type."""

    def __init__(self) -> None:
        self._objects: dict[str, type] = {}
        self._inputs: dict[str, type] = {}
        self._builders: dict[str, MessageBuilder] = {}

    def object(self, message: type[Message], *names: str, interfaces: tuple[type, ...] = ()) -> Callable[[T], T]:
        """Decorate the class that is ``message`` in the schema; only the fields in ``names`` are exposed.

        The class gives the name, and its docstring, where it has one, replaces the contract's comment.
        """
        descriptor = message.DESCRIPTOR
        fields = _fields(descriptor, names)

        def expose(cls: T) -> T:
            define(
                cls,
                [self._output_field(field, _graphql_names(fields)) for field in fields],
                cls.__doc__ or descriptions.of(descriptor.full_name),
                is_type_of=lambda value, _info: isinstance(value, message),
                interfaces=interfaces,
            )
            self._objects[descriptor.full_name] = cls
            return cls

        return expose

    def input(self, message: type[Message], *names: str) -> Callable[[T], T]:
        """Decorate the class that is ``message`` as an input; only the fields in ``names`` can be given.

        Resolvers receive the message.
        """
        descriptor = message.DESCRIPTOR
        fields = _fields(descriptor, names)
        one_of = _is_one_of(fields)

        def expose(cls: T) -> T:
            builder = MessageBuilder(message, fields, self._builder)
            define(
                cls,
                [self._input_field(field, _graphql_names(fields)) for field in fields],
                cls.__doc__ or descriptions.of(descriptor.full_name),
                is_input=True,
                directives=(OneOf(),) if one_of else (),
                from_input=_from_input(builder, fields),
            )
            self._inputs[descriptor.full_name] = cls
            self._builders[descriptor.full_name] = builder
            return cls

        return expose

    def object_type(self, descriptor: Descriptor) -> type:
        """The object type of a message; ``NotExposed`` if it has none."""
        return self._known(self._objects, descriptor, "an object")

    def input_type(self, descriptor: Descriptor) -> type:
        """The input type of a message; ``NotExposed`` if it has none."""
        return self._known(self._inputs, descriptor, "an input")

    def add(self, cls: type, field: StrawberryField) -> None:
        """Add a field that is not in the contract to an exposed type."""
        cls.__strawberry_definition__.fields.append(field)  # type: ignore[attr-defined]

    def computed(self, cls: type, annotation: Any, name: str | None = None) -> Callable[[Callable[[Any], Any]], Any]:
        """Decorate a function that computes a field of ``cls`` from the message alone."""

        def add(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
            self.add(cls, ReadField(name or read.__name__, lambda: annotation, read, read.__doc__))
            return read

        return add

    @staticmethod
    def _known(known: Mapping[str, type], descriptor: Descriptor, as_what: str) -> type:
        try:
            return known[descriptor.full_name]
        except KeyError:
            raise NotExposed(f"{descriptor.full_name} is used by the schema but not exposed as {as_what}") from None

    def _builder(self, descriptor: Descriptor) -> MessageBuilder:
        return self._builders[descriptor.full_name]

    def _output_field(self, field: FieldDescriptor, names: Mapping[str, str]) -> ReadField:
        description = descriptions.in_graphql(descriptions.of(field.full_name), names)
        return ReadField(graphql_name(field), lambda: output_type(field, self.object_type), reader(field), description)

    def _input_field(self, field: FieldDescriptor, names: Mapping[str, str]) -> ReadField:
        description = descriptions.in_graphql(descriptions.of(field.full_name), names)
        taken = ReadField(graphql_name(field), lambda: self._input_annotation(field), lambda value: value, description)
        taken.default_value = UNSET
        return taken

    def _input_annotation(self, field: FieldDescriptor) -> Any:
        element = element_type(field, self.input_type, is_input=True)
        whole: Any = list[element] if field.is_repeated else element  # type: ignore[valid-type]  # known at run time
        return whole if is_required(field) and field.name != REQUEST_ID else whole | None


REQUEST_ID = "request_id"


def _fields(descriptor: Any, names: tuple[str, ...]) -> list[FieldDescriptor]:
    unknown = [name for name in names if name not in descriptor.fields_by_name]
    if unknown:
        raise UnknownField(f"{descriptor.full_name} has no field {', '.join(unknown)}")
    return [descriptor.fields_by_name[name] for name in names]


def _graphql_names(fields: list[FieldDescriptor]) -> dict[str, str]:
    return {field.name: graphql_name(field) for field in fields}


def _is_one_of(fields: list[FieldDescriptor]) -> bool:
    groups = {None if field.containing_oneof is None else field.containing_oneof.name for field in fields}
    optional = any(field.containing_oneof and field.containing_oneof.name.startswith("_") for field in fields)
    return len(fields) > 1 and len(groups) == 1 and None not in groups and not optional


def _from_input(
    builder: MessageBuilder, fields: list[FieldDescriptor]
) -> Callable[[type, Mapping[str, Any], Any], Any]:
    if not any(field.name == REQUEST_ID for field in fields):
        return lambda _cls, value, _context: builder.build(value)

    def build(_cls: type, value: Mapping[str, Any], _context: Any) -> Message:
        message: Any = builder.build(value)
        message.request_id = message.request_id or uuid.uuid4().hex
        return message  # type: ignore[no-any-return]

    return build
