"""Files of customers and of events: what their columns mean, and what each row says."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import IntEnum
from json import loads
from typing import Any

from services.common import json
from services.common.errors import InvalidArgument
from services.profiles.domain.event import EventType, Incoming

IMPORTS_MAX = 20
"""How many imports of a tenant may be unfinished."""
ERRORS_MAX = 100_000
"""How many wrong rows of an import are kept."""
CHUNK_MAX = 1 << 20
FIELDS = ("message_id", "type", "name", "user_id", "anonymous_id", "event_time")
LEFT_OUT = "-"


class ImportInvalid(InvalidArgument):
    """Columns that are mapped twice, or to nothing that there is. Metadata ``field``."""


class ImportKind(IntEnum):
    """What a row is; the numbers are those of the contract."""

    CUSTOMERS = 1
    EVENTS = 2


class TableFormat(IntEnum):
    """How a file is written; the numbers are those of the contract."""

    CSV = 1
    PARQUET = 2


class ColumnType(IntEnum):
    """How a text is read; the numbers are those of the contract."""

    TEXT = 0
    NUMBER = 1
    BOOLEAN = 2
    JSON = 3


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """What a column means."""

    column: str
    target: str
    type: ColumnType = ColumnType.TEXT


@dataclass(frozen=True, slots=True)
class TableImport:
    """A file on its way in. Times are microseconds."""

    import_id: str
    kind: ImportKind
    format: TableFormat
    columns: tuple[ColumnMapping, ...]
    create_time: int
    received_bytes: int = 0
    job_id: str = ""
    finished: bool = False
    cancelled: bool = False

    @property
    def content(self) -> str:
        """Where what is not a field of events goes."""
        return "traits" if self.kind is ImportKind.CUSTOMERS else "properties"

    @property
    def fingerprint(self) -> str:
        """Tells imports apart that would make other events of the same file."""
        mapped = [(each.column, each.target, int(each.type)) for each in self.columns]
        return hashlib.blake2b(repr((int(self.kind), int(self.format), mapped)).encode(), digest_size=8).hexdigest()

    def check(self) -> None:
        """``ImportInvalid`` at the first mapping that is wrong."""
        content, seen = self.content, set()
        for each in self.columns:
            known = (*FIELDS, content, LEFT_OUT)
            if each.target not in known and not (
                each.target.startswith(f"{content}.") and each.target != f"{content}."
            ):
                problem = f"{each.target} is none of {', '.join(known)} and {content}.<name>"
                raise ImportInvalid(f"column {each.column}: {problem}", field=each.column)
            if each.column in seen:
                raise ImportInvalid(f"column {each.column} is mapped twice", field=each.column)
            seen.add(each.column)


class ValueInvalid(Exception):
    """A value that is not what its column says."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column, self.message = column, message


class RowReader:
    """Turns the rows of one file into events."""

    def __init__(self, wanted: TableImport, names: Sequence[str], digest: str) -> None:
        mapped = {each.column: each for each in wanted.columns}
        if missing := [column for column in mapped if column not in names]:
            raise ImportInvalid(f"the file has no column {missing[0]}", field=missing[0])
        content = wanted.content
        self._import, self._prefix = wanted, f"import-{digest[:32]}-{wanted.fingerprint}-"
        self._columns = [
            mapped.get(name) or ColumnMapping(name, name if name in FIELDS else f"{content}.{name}") for name in names
        ]
        if content not in mapped and content in names:
            place = list(names).index(content)
            self._columns[place] = ColumnMapping(content, content, ColumnType.JSON)

    def read(self, number: int, values: Sequence[Any]) -> Incoming:
        """The event of a row; ``ValueInvalid``."""
        fields: dict[str, Any] = {}
        said: dict[str, Any] = {}
        for column, value in zip(self._columns, values, strict=False):
            if value is None or value == "" or column.target == LEFT_OUT:
                continue
            value = _typed(column, value)
            if column.target in FIELDS:
                fields[column.target] = value
            elif column.target == self._import.content:
                said |= _object(column, value)
            else:
                said[column.target.partition(".")[2]] = value
        return self._event(number, fields, said)

    def _event(self, number: int, fields: Mapping[str, Any], said: Mapping[str, Any]) -> Incoming:
        try:
            content = json.write(said)
        except (TypeError, ValueError) as error:
            raise ValueInvalid("", f"the row cannot be written as JSON: {error}") from error
        return Incoming(
            message_id=str(fields.get("message_id") or f"{self._prefix}{number}"),
            type=self._kind(fields.get("type")),
            name=str(fields.get("name", "")),
            user_id=str(fields.get("user_id", "")),
            anonymous_id=str(fields.get("anonymous_id", "")),
            event_time=_micros(fields["event_time"]) if "event_time" in fields else self._import.create_time,
            json=content,
        )

    def _kind(self, value: Any) -> int:
        if self._import.kind is ImportKind.CUSTOMERS:
            return EventType.IDENTIFY
        name = str(value or "TRACK").upper()
        if name not in EventType.__members__:
            raise ValueInvalid("type", f"{name[:50]} is none of {', '.join(EventType.__members__)}")
        return EventType[name]


def _typed(column: ColumnMapping, value: Any) -> Any:
    if isinstance(value, str) and column.type is not ColumnType.TEXT:
        return _read_text(column, value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (datetime, date)) and column.target != "event_time":
        return value.isoformat()
    if isinstance(value, bytes):
        raise ValueInvalid(column.column, "is of bytes; a text, number, truth value, time, list or object is needed")
    return value


def _read_text(column: ColumnMapping, text: str) -> Any:
    try:
        if column.type is ColumnType.JSON:
            return loads(text)
        if column.type is ColumnType.BOOLEAN:
            return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
        number = float(text)
        return int(text) if text.strip().lstrip("-").isdecimal() else number
    except (ValueError, KeyError, RecursionError) as error:
        raise ValueInvalid(column.column, f"is no {column.type.name}: {text[:100]!r}") from error


def _object(column: ColumnMapping, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = _read_text(ColumnMapping(column.column, column.target, ColumnType.JSON), value)
    if not isinstance(value, dict):
        raise ValueInvalid(column.column, "is no JSON object")
    return value


def _micros(value: Any) -> int:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return int(value * 1_000_000)  # seconds
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        zoned = time if time.tzinfo else time.replace(tzinfo=UTC)
        return round(zoned.timestamp() * 1_000_000)
    except (ValueError, OverflowError) as error:
        raise ValueInvalid("event_time", f"is no ISO 8601 time: {str(value)[:100]!r}") from error
