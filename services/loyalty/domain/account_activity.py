"""Who of the users of a shared account earned into it, or spent from it."""

from dataclasses import dataclass

from services.loyalty.domain.books import Books
from services.loyalty.domain.entry import ACCOUNT_PREFIX, Entry
from services.loyalty.domain.records import Kind, Ref


@dataclass(frozen=True, slots=True)
class AccountActivity:
    """What a customer did with an account; its id is that of the entry."""

    entry_id: str
    program_id: str
    account_id: str
    """The account as a member."""
    customer_id: str
    kind: str
    points: int
    time: int


ACCOUNT_ACTIVITY = Kind("account_activity", AccountActivity)


def note_activity(books: Books, entry: Entry, customer_id: str) -> Entry:
    """Keep who did it, where that was not for themselves; the entry."""
    if entry.member_id.startswith(ACCOUNT_PREFIX) and customer_id != entry.member_id:
        activity = AccountActivity(
            entry.id,
            entry.program_id,
            entry.member_id,
            customer_id,
            entry.kind.value,
            entry.points,
            entry.record_time,
        )
        books.put_record(Ref(ACCOUNT_ACTIVITY, entry.id), activity)
    return entry
