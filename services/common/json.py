"""JSON from outside, read strictly and quickly: one object, no duplicates of meaning, no endless depth."""

from typing import Any

import orjson

from services.common.errors import InvalidArgument


class JsonInvalid(InvalidArgument):
    """The text is not the JSON that is needed. The message says where and why."""


def read_object(text: str, bytes_max: int) -> dict[str, Any]:
    """The JSON object in ``text`` (empty text: an empty object); ``JsonInvalid`` for anything else or too long."""
    if not text:
        return {}
    if len(text) > bytes_max:
        raise JsonInvalid(f"is longer than {bytes_max} bytes")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise JsonInvalid(f"is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise JsonInvalid("must be a JSON object")
    return value


def write(value: Any) -> str:
    """``value`` as compact JSON text."""
    return orjson.dumps(value).decode()
