"""Descriptions of the schema: the comments of the contracts, by full name, from the generated descriptors."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

_IDENTIFIER = re.compile(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`")

# Field numbers in descriptor.proto: a comment's path is made of them (SourceCodeInfo.Location.path).
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _MESSAGE_NESTED, _MESSAGE_ENUM = 2, 3, 4
_ENUM_VALUE, _SERVICE_METHOD = 2, 2


@cache
def comments() -> Mapping[str, str]:
    """The comment before each message, field, enum, value and rpc, by its full name."""
    content = (resources.files("tessera") / "descriptors.binpb").read_bytes()
    return {name: text for file in FileDescriptorSet.FromString(content).file for name, text in _of_file(file)}


def of(full_name: str) -> str | None:
    """The comment of ``full_name``, its lines joined into paragraphs; ``None`` if it has none."""
    return comments().get(full_name)


def in_graphql(text: str | None, names: Mapping[str, str]) -> str | None:
    """``text`` with the fields of the same message that it mentions written as GraphQL names them."""
    if text is None:
        return None
    return _IDENTIFIER.sub(lambda match: f"`{names.get(match[1], match[1])}`", text)


def _of_file(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    names = dict(_names(file))
    for location in file.source_code_info.location:
        name = names.get(tuple(location.path))
        if name is not None and location.leading_comments:
            yield name, _paragraphs(location.leading_comments)


def _paragraphs(comment: str) -> str:
    blocks = re.split(r"\n\s*\n", comment.strip("\n"))
    return "\n\n".join(" ".join(line.strip() for line in block.splitlines()) for block in blocks).strip()


def _names(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, message in enumerate(file.message_type):
        yield from _of_message((_FILE_MESSAGE, index), f"{file.package}.{message.name}", message)
    for index, enum in enumerate(file.enum_type):
        yield from _of_enum((_FILE_ENUM, index), f"{file.package}.{enum.name}", enum)
    for index, service in enumerate(file.service):
        full_name = f"{file.package}.{service.name}"
        yield (_FILE_SERVICE, index), full_name
        yield from _members((_FILE_SERVICE, index, _SERVICE_METHOD), full_name, service.method)


def _of_message(
    path: tuple[int, ...], full_name: str, message: DescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, full_name
    yield from _members((*path, _MESSAGE_FIELD), full_name, message.field)
    for index, nested in enumerate(message.nested_type):
        yield from _of_message((*path, _MESSAGE_NESTED, index), f"{full_name}.{nested.name}", nested)
    for index, enum in enumerate(message.enum_type):
        yield from _of_enum((*path, _MESSAGE_ENUM, index), f"{full_name}.{enum.name}", enum)


def _of_enum(path: tuple[int, ...], full_name: str, enum: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, full_name
    yield from _members((*path, _ENUM_VALUE), full_name, enum.value)


def _members(path: tuple[int, ...], parent: str, members: Sequence[Any]) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, member in enumerate(members):
        yield (*path, index), f"{parent}.{member.name}"
