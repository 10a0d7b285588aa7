"""Lists of customers, and who is meant by the lines of a file."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound

CHANGED_MAX = 5_000
CUSTOMER_ID = "customer_id"
IDENTIFIERS = ("user_id", "anonymous_id", "email", "phone", "loyalty_id", "card_id")


class CustomerListNotFound(NotFound):
    """No list of this tenant has the id. Metadata ``list_id``."""

    def __init__(self, list_id: str) -> None:
        super().__init__(f"there is no list {list_id}", list_id=list_id)


class CustomerListInUse(FailedPrecondition):
    """A segment's rule names the list. Metadata ``used_by`` names one."""


class CsvInvalid(InvalidArgument):
    """The text is no CSV file that says who is meant. Metadata ``line`` where one is to blame."""


class TooManyCustomers(InvalidArgument):
    """More customers were named than can be changed at once. Metadata ``maximum``."""


@dataclass(frozen=True, slots=True)
class CustomerList:
    """A list; time in microseconds."""

    list_id: str
    name: str
    description: str
    create_time: int


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody who is meant: a customer by id (``type`` is ``CUSTOMER_ID``), or by an identifier."""

    type: str
    value: str


def named_in_csv(text: str) -> list[Named]:
    """Who is meant by each line; ``CsvInvalid``."""
    if not text:
        return []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = list(reader)
    except csv.Error as error:
        raise CsvInvalid(f"line {reader.line_num} is no CSV: {error}", line=reader.line_num) from None
    header = [name.strip().lower().removeprefix("\ufeff") for name in lines[0]] if lines else []
    column = next((at for at, name in enumerate(header) if name in (CUSTOMER_ID, *IDENTIFIERS)), None)
    if column is None:
        raise CsvInvalid(f"the header names none of {', '.join((CUSTOMER_ID, *IDENTIFIERS))}", line=1)
    return [Named(header[column], _cell(line, column, number)) for number, line in enumerate(lines[1:], 2) if line]


def _cell(line: Sequence[str], column: int, number: int) -> str:
    value = line[column].strip() if column < len(line) else ""
    if not value:
        raise CsvInvalid(f"line {number} says nobody: its column {column + 1} is empty", line=number)
    return value


def at_most(named: Sequence[Named]) -> None:
    """``TooManyCustomers`` if these are more than can be changed at once."""
    if len(named) > CHANGED_MAX:
        text = f"{len(named):,} customers are named; at most {CHANGED_MAX:,} at once: send them in parts"
        raise TooManyCustomers(text, maximum=CHANGED_MAX)
