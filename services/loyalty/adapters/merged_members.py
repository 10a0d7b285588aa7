"""Reading members by the names of before a merge."""

from collections.abc import Iterable, Mapping, Sequence

from services.common.store import Store
from services.loyalty.adapters.documents import MEMBERS, key, read_member
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.domain.books import MERGES_MAX
from services.loyalty.domain.member import Member
from services.loyalty.domain.merged import MERGED_CUSTOMERS
from services.loyalty.domain.people import MERGED_NAMES


async def found_members(store: Store, tenant: str, program_id: str, member_ids: Sequence[str]) -> dict[str, Member]:
    """Those who exist, by the id that was asked for: of one who was merged into another, the other."""
    asked = {member_id: member_id for member_id in member_ids}
    known: dict[str, Member] = {}
    for _ in range(MERGES_MAX):
        missing = [key(program_id, member_id) for member_id in dict.fromkeys(asked.values()) if member_id not in known]
        found = await store.get_many(tenant, MEMBERS, missing)
        known |= {member.id: member for member in (read_member(document.body) for document in found.values())}
        into = await _into(store, tenant, known, asked.values())
        if not into:
            break
        asked = {member_id: into.get(now, now) for member_id, now in asked.items()}
    return {member_id: known[now] for member_id, now in asked.items() if now in known}


async def person_of(store: Store, tenant: str, program_id: str, member_id: str) -> str:
    """Who has the account of a customer now, whether or not there is one."""
    for _ in range(MERGES_MAX):
        found = await store.get(tenant, MEMBERS, key(program_id, member_id))
        known = {member_id: read_member(found.body)} if found else {}
        into = await _into(store, tenant, known, [member_id])
        if member_id not in into:
            break
        member_id = into[member_id]
    return member_id


async def names_of_person(store: Store, tenant: str, customer_id: str) -> list[str]:
    """All names of a person, the one of now first."""
    for _ in range(MERGES_MAX):
        document = await store.get(tenant, RECORDS[MERGED_CUSTOMERS.name], customer_id)
        if document is None:
            break
        customer_id = read_record(MERGED_CUSTOMERS, document.body).into_id
    document = await store.get(tenant, RECORDS[MERGED_NAMES.name], customer_id)
    others = read_record(MERGED_NAMES, document.body).names if document else ()
    return [customer_id, *others]


async def _into(store: Store, tenant: str, known: Mapping[str, Member], member_ids: Iterable[str]) -> dict[str, str]:
    """Whom each of them was merged into, if they were."""
    into = {each: known[each].merged_into for each in member_ids if each in known and known[each].merged_into}
    absent = [each for each in dict.fromkeys(member_ids) if each not in known]
    found = await store.get_many(tenant, RECORDS[MERGED_CUSTOMERS.name], absent) if absent else {}
    merged = [read_record(MERGED_CUSTOMERS, document.body) for document in found.values()]
    return into | {each.customer_id: each.into_id for each in merged}
