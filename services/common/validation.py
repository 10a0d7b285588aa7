"""Field rules of the contracts (``tessera.common.v1.rules``), compiled once a message and enforced on requests."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from tessera.common.v1 import options_pb2

from services.common.errors import InvalidArgument

Check = Callable[[Any, str], None]


class FieldInvalid(InvalidArgument):
    """A field of the request breaks a rule of the contract. Metadata ``field`` is its path."""


def validate(message: Message) -> None:
    """``FieldInvalid`` at the first field, in the order of the contract, that breaks its rules."""
    for check in _checks(message.DESCRIPTOR):
        check(message, "")


@cache
def _checks(descriptor: Descriptor) -> tuple[Check, ...]:
    return tuple(check for field in descriptor.fields for check in _field_checks(field, frozenset()))


def _field_checks(field: FieldDescriptor, seen: frozenset[str]) -> list[Check]:
    rules = field.GetOptions().Extensions[options_pb2.rules]
    checks: list[Check] = []
    if rules.required:
        checks.append(_required(field))
    if rules.max_items:
        checks.append(_max_items(field.name, rules.max_items))
    checks.extend(_value_checks(field, rules))
    nested = field.message_type
    if nested is not None and not nested.GetOptions().map_entry and nested.full_name not in seen and _ours(nested):
        checks.extend(_nested(field, nested, seen | {nested.full_name}))
    return checks


def _ours(descriptor: Descriptor) -> bool:
    # Rules nest without end: their own validation says more about them than a field rule can.
    return descriptor.full_name.startswith("tessera.") and descriptor.full_name != "tessera.common.v1.Rule"


def _required(field: FieldDescriptor) -> Check:
    name, presence = field.name, field.message_type is not None and not field.is_repeated

    def check(message: Any, path: str) -> None:
        if not (message.HasField(name) if presence else getattr(message, name)):
            raise FieldInvalid(f"{path}{name} is needed", field=f"{path}{name}")

    return check


def _max_items(name: str, limit: int) -> Check:
    def check(message: Any, path: str) -> None:
        if (count := len(getattr(message, name))) > limit:
            raise FieldInvalid(f"{path}{name} has {count} elements; at most {limit} are allowed", field=path + name)

    return check


def _value_checks(field: FieldDescriptor, rules: options_pb2.FieldRules) -> list[Check]:
    faults: list[Callable[[Any], str]] = []
    if rules.max_len:
        faults.append(lambda value: f"is longer than {rules.max_len}" if len(value) > rules.max_len else "")
    if rules.HasField("min"):
        faults.append(lambda value: f"is below {rules.min}" if value < rules.min else "")
    if rules.HasField("max"):
        faults.append(lambda value: f"is above {rules.max}" if value > rules.max else "")
    if rules.pattern:
        pattern = re.compile(rules.pattern)
        faults.append(lambda value: f"does not match {rules.pattern}" if value and not pattern.fullmatch(value) else "")
    return [_each_value(field, fault) for fault in faults]


def _each_value(field: FieldDescriptor, fault: Callable[[Any], str]) -> Check:
    name, repeated, presence = field.name, field.is_repeated, field.has_presence

    def check(message: Any, path: str) -> None:
        if presence and not message.HasField(name):  # what is left out breaks no rule but `required`
            return
        values = getattr(message, name)
        for value in values if repeated else (values,):
            if wrong := fault(value):
                raise FieldInvalid(f"{path}{name} {wrong}", field=f"{path}{name}")

    return check


def _nested(field: FieldDescriptor, nested: Descriptor, seen: frozenset[str]) -> list[Check]:
    inner = [check for child in nested.fields for check in _field_checks(child, seen)]
    if not inner:
        return []
    name = field.name

    def check_each(message: Any, path: str) -> None:
        for index, element in enumerate(getattr(message, name)):
            try:
                for check in inner:
                    check(element, "")
            except FieldInvalid:  # only what is refused needs its path: once more, with it
                for check in inner:
                    check(element, f"{path}{name}[{index}].")

    def check_one(message: Any, path: str) -> None:
        if message.HasField(name):
            for check in inner:
                check(getattr(message, name), f"{path}{name}.")

    return [check_each if field.is_repeated else check_one]
