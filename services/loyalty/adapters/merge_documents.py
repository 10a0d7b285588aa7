"""What merges add to members and entries, in their documents."""

from typing import Any

from services.common.store.port import Body
from services.loyalty.adapters.records import read_record, record_body
from services.loyalty.domain.entry import Entry, OriginLot, Part
from services.loyalty.domain.member import Member
from services.loyalty.domain.records import Kind

_PART = Kind("part", Part)


def merged_member_body(member: Member) -> Body:
    """What a member's document has besides, where there was a merge."""
    body: Body = {}
    if member.parts:
        body["parts"] = _parts(member.parts)
    if member.merged_into:
        body["merged_into"] = member.merged_into
    return body


def read_merged_member(body: Body) -> dict[str, Any]:
    """The fields of a member that are about merges."""
    if "parts" not in body and "merged_into" not in body:
        return {}
    return {"parts": _read_parts(body.get("parts", ())), "merged_into": body.get("merged_into", "")}


def merged_entry_body(entry: Entry) -> Body:
    """What an entry's document has besides, where there was a merge."""
    body: Body = {name: value for name in ("origin_id", "partner_id") if (value := getattr(entry, name))}
    if entry.by_origin:
        body["by_origin"] = [list(each) for each in entry.by_origin]
    if entry.came:
        body["came"] = _parts(entry.came)
    if entry.went:
        body["went"] = _parts(entry.went)
    return body


def read_merged_entry(body: Body) -> dict[str, Any]:
    """The fields of an entry that are about merges."""
    found: dict[str, Any] = {name: body[name] for name in ("origin_id", "partner_id") if name in body}
    if "by_origin" in body:
        found["by_origin"] = tuple(OriginLot(*each) for each in body["by_origin"])
    for name in ("came", "went"):
        if name in body:
            found[name] = _read_parts(body[name])
    return found


def _parts(parts: tuple[Part, ...]) -> list[Body]:
    return [record_body(part) for part in parts]


def _read_parts(bodies: Any) -> tuple[Part, ...]:
    return tuple(read_record(_PART, body) for body in bodies)
