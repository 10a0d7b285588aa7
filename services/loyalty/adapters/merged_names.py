"""The names of merged customers in accounts and entries, for when a person is forgotten."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from services.loyalty.domain.entry import Entry, Part
from services.loyalty.domain.member import Member

Path = Callable[[str, str, str], str]
"""An id that may tell whose it is, as another's."""


def renamed_member(member: Member, people: Mapping[str, str], path: Path) -> Member:
    """The member with these people under other names."""
    return replace(
        member,
        parts=tuple(_part(part, people, path) for part in member.parts),
        merged_into=people.get(member.merged_into, member.merged_into),
        pending=tuple(lot._replace(entry_id=_renamed(lot.entry_id, people, path)) for lot in member.pending),
    )


def renamed_entry(entry: Entry, people: Mapping[str, str], path: Path) -> Entry:
    """The entry with these people under other names, but for whose it is."""
    return replace(
        entry,
        origin_id=people.get(entry.origin_id, entry.origin_id),
        partner_id=people.get(entry.partner_id, entry.partner_id),
        by_origin=tuple(
            each._replace(origin_id=people.get(each.origin_id, each.origin_id)) for each in entry.by_origin
        ),
        came=tuple(_part(part, people, path) for part in entry.came),
        went=tuple(_part(part, people, path) for part in entry.went),
    )


def _part(part: Part, people: Mapping[str, str], path: Path) -> Part:
    pending = tuple(lot._replace(entry_id=_renamed(lot.entry_id, people, path)) for lot in part.pending)
    return replace(part, origin_id=people.get(part.origin_id, part.origin_id), pending=pending)


def _renamed(entry_id: str, people: Mapping[str, str], path: Path) -> str:
    for customer_id, pseudonym in people.items():
        entry_id = path(entry_id, customer_id, pseudonym)
    return entry_id
