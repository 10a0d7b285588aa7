"""Requests from GraphQL input: a coerced input value becomes the protobuf message that it stands for, directly."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.schema.global_ids import own_id
from gateway.schema.proto_fields import graphql_name, is_id, is_json, is_map

Put = Callable[[Message, Any], None]


class MessageBuilder:
    """Builds messages of one type from the fields that its input type exposes."""

    def __init__(self, message: type[Message], fields: list[FieldDescriptor], nested: "Builders") -> None:
        self._message = message
        self._fields = [(graphql_name(field), _setter(field, nested)) for field in fields]

    def build(self, value: Mapping[str, Any]) -> Message:
        """The message; what is null or absent stays unset."""
        message = self._message()
        for name, put in self._fields:
            given = value.get(name)
            if given is not None:
                put(message, given)
        return message


Builders = Callable[[Descriptor], MessageBuilder]


def _setter(field: FieldDescriptor, nested: Builders) -> Put:
    name = field.name
    if is_map(field):
        return lambda message, value: getattr(message, name).update({e["key"]: e["value"] for e in value})
    convert = _converter(field, nested)
    if field.is_repeated:
        return lambda message, value: getattr(message, name).extend([convert(each) for each in value])
    if field.message_type is None:
        return lambda message, value: setattr(message, name, convert(value))

    def put(message: Message, value: Any) -> None:
        part = getattr(message, name)
        part.SetInParent()  # an empty message is still present
        part.MergeFrom(convert(value))

    return put


def _converter(field: FieldDescriptor, nested: Builders) -> Callable[[Any], Any]:
    if field.message_type is not None and not field.message_type.full_name.startswith("google.protobuf."):
        descriptor = field.message_type
        return lambda value: nested(descriptor).build(value)
    if field.enum_type is not None:
        return int
    if is_json(field):
        return lambda value: orjson.dumps(value).decode()
    if is_id(field):
        return own_id
    return lambda value: value
