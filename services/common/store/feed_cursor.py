"""Cursors of a change feed: the feed's own id and the position of an entry, the same for every reader."""

from services.common.errors import InvalidCursor


def encode(feed_id: str, position: int) -> str:
    """The cursor of the entry at ``position``."""
    return f"{feed_id}-{position:x}"


def decode(feed_id: str, cursor: str, newest: int) -> int:
    """The position, 0 for ``""``; ``InvalidCursor`` if no entry of this feed ever had the cursor."""
    if not cursor:
        return 0
    made_by, _, digits = cursor.partition("-")
    try:
        position = int(digits, 16)
    except ValueError as error:
        raise InvalidCursor("this is not a cursor of a feed") from error
    if made_by != feed_id or not 0 < position <= newest:
        raise InvalidCursor("this cursor belongs to another feed")
    return position


def position(cursor: str) -> int:
    """Where a cursor stands among those of its feed: a later one has a greater position."""
    return int(cursor.rpartition("-")[2], 16) if cursor else 0
