"""Relay connections over the page tokens of the services, and the limit of a page."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Generic, NamedTuple, TypeVar

import strawberry
from strawberry.types.field import StrawberryField

from gateway.schema.proto_fields import ReadField, define
from services.common.errors import InvalidArgument, InvalidCursor

T = TypeVar("T")

PAGE_SIZE_MAX = 100
SKIPPED_MAX = 900  # services answer at most 1,000 items at once

First = Annotated[int, strawberry.argument(description=f"How many, from 1 to {PAGE_SIZE_MAX}.")]
After = Annotated[
    str | None, strawberry.argument(description="The cursor of the edge before; null for the first page.")
]
Fetch = Callable[[int, str], Awaitable[tuple[Sequence[T], str]]]


class PageSizeExceeded(InvalidArgument):
    """More was asked for than one page holds. Metadata ``maximum``."""


class PageSizeInvalid(InvalidArgument):
    """A page of none, or of fewer."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list: what a resolver answers, and a connection shows."""

    items: Sequence[T]
    token: str
    """The page token with which these items were asked for."""
    skipped: int
    """How many items after that token come before these."""
    next_token: str
    """The page token of what comes after them; empty at the end."""

    @property
    def is_first(self) -> bool:
        """Whether nothing comes before."""
        return not self.token and not self.skipped

    def cursor(self, index: int) -> str:
        """The cursor of the item at ``index``: a page token, and how many items after it to skip."""
        if index == len(self.items) - 1 and self.next_token:
            return _encode(self.next_token, 0)
        return _encode(self.token, self.skipped + index + 1)


class Edge(NamedTuple):
    """One item of a page with its cursor."""

    cursor: str
    node: object


async def page(fetch: Fetch[T], first: int, after: str | None) -> Page[T]:
    """The ``first`` items after the cursor ``after``. ``fetch`` answers a page, given its size and its token."""
    limited(first)
    token, skipped = _decode(after) if after else ("", 0)
    items, next_token = await fetch(skipped + first, token)
    return Page(items[skipped:], token, skipped, next_token)


def limited(first: int) -> int:
    """``first``; ``PageSizeExceeded`` if that is more than a page holds."""
    if first > PAGE_SIZE_MAX:
        raise PageSizeExceeded(f"first is {first}; at most {PAGE_SIZE_MAX} are answered at once", maximum=PAGE_SIZE_MAX)
    if first < 1:
        raise PageSizeInvalid(f"first is {first}; ask for one at least")
    return first


def _encode(token: str, skipped: int) -> str:
    return base64.urlsafe_b64encode(f"{skipped}:{token}".encode()).decode()


def _decode(cursor: str) -> tuple[str, int]:
    try:
        skipped, _, token = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(":")
        if 0 <= int(skipped) <= SKIPPED_MAX:
            return token, int(skipped)
    except (binascii.Error, ValueError):
        pass
    raise InvalidCursor("this cursor was not made by this gateway", field="after")


@cache
def connection_type(node: type) -> type:
    """The connection over ``node`` in the schema."""
    noun = node.__name__
    edge = define(
        type(f"{noun}Edge", (), {}),
        [
            ReadField("cursor", lambda: str, lambda edge: edge.cursor, "To go on after this item."),
            ReadField("node", lambda: node, lambda edge: edge.node, "The item."),
        ],
        "One item of a page.",
    )
    fields: list[StrawberryField] = [
        ReadField("edges", lambda: list[edge], _edges, "The items of this page with their cursors."),  # type: ignore[valid-type]
        ReadField("nodes", lambda: list[node], lambda page: page.items, "The items of this page."),  # type: ignore[valid-type]
        ReadField("pageInfo", lambda: PageInfo, lambda page: page, "What comes before and after."),
    ]
    return define(type(f"{noun}Connection", (), {}), fields, "One page of a list.")


def _edges(page: Page[object]) -> list[Edge]:
    return [Edge(page.cursor(index), item) for index, item in enumerate(page.items)]


class PageInfo:
    """What comes before and after a page."""


define(
    PageInfo,
    [
        ReadField("hasNextPage", lambda: bool, lambda page: bool(page.next_token), "Whether more items follow."),
        ReadField("hasPreviousPage", lambda: bool, lambda page: not page.is_first, "Whether items come before."),
        ReadField(
            "startCursor", lambda: str | None, lambda page: page.cursor(0) if page.items else None, "Of the first item."
        ),
        ReadField(
            "endCursor",
            lambda: str | None,
            lambda page: page.cursor(len(page.items) - 1) if page.items else None,
            "Pass it as `after` for the next page.",
        ),
    ],
    PageInfo.__doc__,
)
