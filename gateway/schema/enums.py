"""GraphQL enums from protobuf enums: without the prefix, and without ``…_UNSPECIFIED``, which is null in GraphQL."""

import re
from enum import IntEnum
from functools import cache

import strawberry
from google.protobuf.descriptor import EnumDescriptor, EnumValueDescriptor

from gateway.schema import descriptions


@cache
def graphql_enum(enum: EnumDescriptor) -> type[IntEnum]:
    """The GraphQL enum of ``enum``; its members' values are the protobuf numbers."""
    values = {
        _short(value): strawberry.enum_value(
            value.number, description=descriptions.of(f"{enum.full_name}.{value.name}")
        )
        for value in enum.values
        if value.number != 0
    }
    # The functional form takes a mapping of names at run time; its stub knows literals only.
    members: type[IntEnum] = IntEnum(enum.name, values)  # type: ignore[misc]
    return strawberry.enum(members, name=enum.name, description=descriptions.of(enum.full_name))


@cache
def known_numbers(enum: EnumDescriptor) -> frozenset[int]:
    """The numbers that the GraphQL enum has a name for; any other, from a newer service, is answered as null."""
    return frozenset(value.number for value in enum.values if value.number != 0)


def graphql_name_of(enum: EnumDescriptor, number: int) -> str | None:
    """The name in GraphQL of a protobuf number; ``None`` where it has none."""
    value = enum.values_by_number.get(number)
    return _short(value) if value is not None and number != 0 else None


def _short(value: EnumValueDescriptor) -> str:
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value.type.name).upper()
    return value.name.removeprefix(f"{prefix}_")
