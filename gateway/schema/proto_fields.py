"""One field of a message: its name and type in GraphQL, and how its value is read. `from_proto` says what follows."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import orjson
import strawberry
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import FieldType, StrawberryField
from tessera.common.v1 import options_pb2

from gateway.schema.enums import graphql_enum, known_numbers
from gateway.schema.scalars import JSON, DateTime, Duration, SafeInt

Read = Callable[[Any], Any]
ExposedTypes = Callable[[Descriptor], type]

JSON_SUFFIX = "_json"
_WELL_KNOWN: dict[str, Any] = {"google.protobuf.Timestamp": DateTime, "google.protobuf.Duration": Duration}
_SCALARS: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_STRING: str,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_UINT32: SafeInt,
    FieldDescriptor.CPPTYPE_INT64: SafeInt,
    FieldDescriptor.CPPTYPE_UINT64: SafeInt,
    FieldDescriptor.CPPTYPE_FLOAT: float,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
}


class UnsupportedField(TypeError):
    """A contract has a kind of field that has no counterpart in the schema yet."""


class ReadField(StrawberryField):
    """A field whose value is read from the message, with no arguments, no middleware and no rule of its own."""

    def __init__(self, name: str, annotate: Callable[[], Any], read: Read, description: str | None) -> None:
        super().__init__(python_name=name, graphql_name=name, description=description)
        self._annotate = annotate
        self.read = read

    def resolve_type(self, *, type_definition: StrawberryObjectDefinition | None = None) -> FieldType:
        """The type; asked for when the schema is built, so that types can refer to each other in any order."""
        return cast(FieldType, StrawberryAnnotation(self._annotate()).resolve())

    def get_result(self, source: Any, info: Any, args: Any, kwargs: Any) -> Any:
        """The value, where Strawberry's own executor asks for it."""
        return self.read(source)


class MapEntry(NamedTuple):
    """One entry of a map field."""

    key: Any
    value: Any


def camel_case(name: str) -> str:
    """``event_time`` as ``eventTime``."""
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def graphql_name(field: FieldDescriptor) -> str:
    """The field's name in GraphQL."""
    return camel_case(field.name.removesuffix(JSON_SUFFIX) if is_json(field) else field.name)


def is_json(field: FieldDescriptor) -> bool:
    """Whether the field is a string that holds JSON."""
    return _is_string(field) and field.name.endswith(JSON_SUFFIX)


def is_id(field: FieldDescriptor) -> bool:
    """Whether the field is a string that names something."""
    return _is_string(field) and (field.name.endswith(("_id", "_ids")) or field.name == "id")


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_required(field: FieldDescriptor) -> bool:
    """Whether the contract refuses a message without the field."""
    return bool(field.GetOptions().Extensions[options_pb2.rules].required)


def element_type(field: FieldDescriptor, exposed: ExposedTypes, *, is_input: bool = False) -> Any:
    """The type of the field's value, or of each of its values, without nullability."""
    if field.message_type is not None:
        if is_map(field):
            value = element_type(field.message_type.fields_by_name["value"], exposed, is_input=is_input)
            return _entry_type(value, is_input)
        return _WELL_KNOWN.get(field.message_type.full_name) or exposed(field.message_type)
    if field.enum_type is not None:
        return graphql_enum(field.enum_type)
    if is_json(field):
        return JSON
    if is_id(field):
        return strawberry.ID
    if field.cpp_type not in _SCALARS or field.type == FieldDescriptor.TYPE_BYTES:
        raise UnsupportedField(f"{field.full_name} is of a type that the schema does not know")
    return _SCALARS[field.cpp_type]


def output_type(field: FieldDescriptor, exposed: ExposedTypes) -> Any:
    """The type of the field in an answer."""
    element = element_type(field, exposed)
    if field.is_repeated:
        return list[element]  # type: ignore[valid-type]  # known at run time only
    optional = field.has_presence or field.enum_type is not None or is_json(field)
    return element | None if optional and not is_required(field) else element


def reader(field: FieldDescriptor) -> Read:
    """How the field's value is read."""
    name = field.name
    if is_map(field):
        return lambda source: [MapEntry(*entry) for entry in sorted(getattr(source, name).items())]
    if field.enum_type is not None:
        return _enum_reader(name, known_numbers(field.enum_type), repeated=field.is_repeated)
    if is_json(field):
        return lambda source: orjson.loads(text) if (text := getattr(source, name)) else None
    if field.has_presence:
        return lambda source: getattr(source, name) if source.HasField(name) else None
    return lambda source: getattr(source, name)


def _enum_reader(name: str, known: frozenset[int], *, repeated: bool) -> Read:
    if repeated:
        return lambda source: [number for number in getattr(source, name) if number in known]
    return lambda source: number if (number := getattr(source, name)) in known else None


def _is_string(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING


@cache
def _entry_type(value_type: Any, is_input: bool) -> type:
    names = {str: "String", int: "Int", float: "Float", bool: "Boolean"}
    noun = names.get(value_type) or value_type.__name__
    entry = type(f"{noun}Entry{'Input' if is_input else ''}", (), {})
    fields = [
        ReadField("key", lambda: str, lambda pair: pair.key, "Unique in its map."),
        ReadField("value", lambda: value_type, lambda pair: pair.value, "What the key stands for."),
    ]
    return define(entry, fields, "One entry of a map.", is_input=is_input)


def define(
    cls: type,
    fields: Sequence[StrawberryField],
    description: str | None,
    *,
    is_type_of: Callable[[Any, Any], bool] | None = None,
    interfaces: tuple[type, ...] = (),
    **more: Any,
) -> type:
    """Make ``cls`` a type of the schema with exactly these fields, and nothing of a dataclass about it."""
    definition = StrawberryObjectDefinition(
        name=cls.__name__,
        is_input=more.pop("is_input", False),
        is_interface=more.pop("is_interface", False),
        origin=cls,
        description=description,
        interfaces=[interface.__strawberry_definition__ for interface in interfaces],  # type: ignore[attr-defined]
        extend=False,
        directives=more.pop("directives", ()),
        is_type_of=is_type_of,
        resolve_type=more.pop("resolve_type", None),
        fields=[],
        **more,
    )
    definition.fields = list(fields)  # afterwards: the constructor asks for their types, which may be declared later
    cls.__strawberry_definition__ = definition  # type: ignore[attr-defined]
    return cls
