"""Messages as JSON in the form of their input types, so that what was answered can be sent back."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.schema.enums import graphql_name_of
from gateway.schema.proto_fields import graphql_name
from gateway.schema.scalars import write_duration, write_time


def input_form(message: Message) -> dict[str, Any]:
    """The fields of ``message`` that are set, named and written as its input type takes them."""
    return {graphql_name(field): _value(field, value) for field, value in message.ListFields()}


def _value(field: FieldDescriptor, value: Any) -> Any:
    return [_one(field, each) for each in value] if field.is_repeated else _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return write_time(value)
    if isinstance(value, Duration):
        return write_duration(value)
    if isinstance(value, Message):
        return input_form(value)
    return graphql_name_of(field.enum_type, value) if field.enum_type is not None else value
