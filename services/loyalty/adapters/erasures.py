"""Carrying out erasures over the document store, and telling a person everything that is kept."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.common.app import every
from services.common.erasure import Acknowledgements
from services.common.errors import AlreadyExists, Conflict
from services.common.idempotency import REQUESTS
from services.common.privacy import Removal, Removed
from services.common.store import Collection, Delete, Document, Insert, Put, Query, Replace, Store, Write
from services.common.store.port import Body
from services.loyalty.adapters.documents import (
    ENTRIES,
    ERASED,
    ERASED_ID,
    ERASURES,
    MEMBERS,
    entry_body,
    key,
    member_body,
    read_entry,
    read_member,
)
from services.loyalty.adapters.leaderboards import forget_scores
from services.loyalty.adapters.merged_names import renamed_entry, renamed_member
from services.loyalty.adapters.records import RECORDS
from services.loyalty.adapters.report_records import RENAMED
from services.loyalty.adapters.store import StoredPrograms
from services.loyalty.domain.account_activity import ACCOUNT_ACTIVITY
from services.loyalty.domain.achievement_events import CONTRIBUTIONS
from services.loyalty.domain.achievement_progress import PROGRESS
from services.loyalty.domain.cart_order import CART_ORDERS
from services.loyalty.domain.coupon import COUPONS, ORDERS, USAGES
from services.loyalty.domain.customer import CUSTOMERS, SEGMENTS
from services.loyalty.domain.earning_rule import MEMBER_USAGE, OCCASIONS
from services.loyalty.domain.entry import Entry, EntryKind
from services.loyalty.domain.erasure import Erasure
from services.loyalty.domain.figures import REPORT_VISITS
from services.loyalty.domain.kept_quote import QUOTES
from services.loyalty.domain.leaderboard import LEADERBOARD_NAMES
from services.loyalty.domain.merged import MERGED_CUSTOMERS
from services.loyalty.domain.notice import NOTICES
from services.loyalty.domain.offer import OFFER_USAGES
from services.loyalty.domain.people import MERGED_NAMES
from services.loyalty.domain.personal_price import PERSONAL_DISCOUNTS, PERSONAL_PRICES
from services.loyalty.domain.price_history import PRICED_ORDERS
from services.loyalty.domain.price_model import PRICE_CONSENTS, PRICE_EVIDENCE
from services.loyalty.domain.program import Program
from services.loyalty.domain.recount import own_id
from services.loyalty.domain.redemption import REDEMPTIONS, REWARD_USAGES
from services.loyalty.domain.referral import ADVOCATES, CODES, REFERRALS, REFERRED_ORDERS
from services.loyalty.domain.score import SCORES
from services.loyalty.domain.score_change import SCORE_CHANGES
from services.loyalty.domain.spending_policy import SPENDING_USAGE
from services.loyalty.domain.spin import SPIN_USAGES, SPINS
from services.loyalty.domain.transfer import TRANSFERS

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
ENTRIES_MAX = 500
"""Entries in one commit."""


@dataclass(frozen=True, slots=True)
class Personal:
    """Records that name a person in an indexed field."""

    collection: Collection
    field: str
    kind: str
    removal: Removal


PERSONAL = (
    Personal(RECORDS[COUPONS.name], "holder_id", "coupon", Removal.PSEUDONYMISED),
    Personal(RECORDS[ORDERS.name], "customer_id", "coupon_order", Removal.PSEUDONYMISED),
    Personal(RECORDS[USAGES.name], "customer_id", "coupon_usage", Removal.DELETED),
    Personal(RECORDS[OFFER_USAGES.name], "customer_id", "offer_usage", Removal.DELETED),
    Personal(RECORDS[QUOTES.name], "customer_id", "quote", Removal.DELETED),
    Personal(RECORDS[CART_ORDERS.name], "customer_id", "cart_order", Removal.PSEUDONYMISED),
    Personal(RECORDS[REDEMPTIONS.name], "member_id", "redemption", Removal.PSEUDONYMISED),
    Personal(RECORDS[REDEMPTIONS.name], "told_id", "redemption_asked_for", Removal.PSEUDONYMISED),
    Personal(RECORDS[REWARD_USAGES.name], "member_id", "reward_usage", Removal.DELETED),
    Personal(RECORDS[CODES.name], "customer_id", "referral_code", Removal.DELETED),
    Personal(RECORDS[ADVOCATES.name], "customer_id", "referral_advocate", Removal.DELETED),
    Personal(RECORDS[REFERRALS.name], "advocate_id", "referral_made", Removal.DELETED),
    Personal(RECORDS[REFERRALS.name], "friend_id", "referral_received", Removal.DELETED),
    Personal(RECORDS[REFERRED_ORDERS.name], "friend_id", "referred_order", Removal.DELETED),
    Personal(RECORDS[ACCOUNT_ACTIVITY.name], "customer_id", "account_activity", Removal.PSEUDONYMISED),
    Personal(RECORDS[PROGRESS.name], "member_id", "achievement_progress", Removal.DELETED),
    Personal(RECORDS[CONTRIBUTIONS.name], "member_id", "achievement_event", Removal.DELETED),
    Personal(RECORDS[LEADERBOARD_NAMES.name], "member_id", "leaderboard_name", Removal.DELETED),
    Personal(RECORDS[SCORES.name], "member_id", "leaderboard_score", Removal.DELETED),
    Personal(RECORDS[SCORE_CHANGES.name], "member_id", "score_change", Removal.DELETED),
    Personal(RECORDS[SCORE_CHANGES.name], "partner_id", "score_change", Removal.DELETED),
    Personal(RECORDS[SPENDING_USAGE.name], "member_id", "spending_usage", Removal.DELETED),
    Personal(RECORDS[SPINS.name], "member_id", "wheel_spin", Removal.PSEUDONYMISED),
    Personal(RECORDS[SPIN_USAGES.name], "member_id", "wheel_spin_usage", Removal.DELETED),
    Personal(RECORDS[TRANSFERS.name], "sender_id", "transfer_sent", Removal.PSEUDONYMISED),
    Personal(RECORDS[TRANSFERS.name], "receiver_id", "transfer_received", Removal.PSEUDONYMISED),
    Personal(RECORDS[NOTICES.name], "customer_id", "notice", Removal.DELETED),
    Personal(RECORDS[PRICED_ORDERS.name], "customer_id", "priced_order", Removal.DELETED),
    Personal(RECORDS[PRICE_CONSENTS.name], "customer_id", "price_consent", Removal.DELETED),
    Personal(RECORDS[PRICE_EVIDENCE.name], "customer_id", "price_sensitivity", Removal.DELETED),
    Personal(RECORDS[PERSONAL_DISCOUNTS.name], "customer_id", "personal_discount", Removal.DELETED),
    Personal(RECORDS[PERSONAL_PRICES.name], "customer_id", "personal_price", Removal.PSEUDONYMISED),
    Personal(RECORDS[REPORT_VISITS.name], "member_id", "order_days", Removal.DELETED),
)
"""What is kept of a person beside the accounts, and what becomes of it."""
FACTS = (
    (RECORDS[CUSTOMERS.name], "customer_traits"),
    (RECORDS[SEGMENTS.name], "segment_memberships"),
    (RECORDS[MERGED_CUSTOMERS.name], "merged_customer"),
    (RECORDS[MERGED_NAMES.name], "merged_names"),
)
"""What is kept under the customer's id, and goes."""


class Erasures:
    """Forgets everybody who is to be forgotten; what a crash cuts short is done again from where it was."""

    def __init__(self, store: Store, acknowledgements: Acknowledgements) -> None:
        self._store, self._acknowledgements = store, acknowledgements

    async def run(self) -> None:
        """Forget, for ever."""
        await every(POLL_SECONDS, self.carry_out)

    async def carry_out(self) -> None:
        """Forget everybody who is due."""
        for document in (await self._store.find("*", ERASURES, Query())).documents:
            try:
                await self._forget(document)
            except (Conflict, AlreadyExists):  # the ledger, or another process, was faster
                log.info("an erasure is tried again")

    async def _forget(self, document: Document) -> None:
        tenant = document.body["tenant"]
        told = Erasure(document.body["erasure_id"], tuple(document.body["customer_ids"]), document.body["pseudonym"])
        programs = await StoredPrograms(self._store).all(tenant)
        removed: list[Removed] = []
        for customer_id in told.customer_ids:
            removed += await self._held(tenant, programs, customer_id)
        said = await self._acknowledgements.removed(tenant, told.erasure_id, _added(removed), complete=False)
        await self._store.commit([said])
        for customer_id in told.customer_ids:
            pseudonym = told.pseudonym_of(customer_id)
            for program in programs.values():
                await self._move(tenant, program, customer_id, told)
            await forget_scores(self._store, tenant, customer_id)
            await self._forget_records(tenant, customer_id, pseudonym)
        said = await self._acknowledgements.removed(tenant, told.erasure_id, ())
        await self._store.commit([said, Delete("*", ERASURES, document.id, document.version)])

    async def _held(self, tenant: str, programs: Iterable[str], customer_id: str) -> list[Removed]:
        """What there is of the person."""
        found: list[Removed] = []
        members = await self._store.get_many(tenant, MEMBERS, [key(program_id, customer_id) for program_id in programs])
        for member in (read_member(document.body) for document in members.values()):
            found.append(Removed("loyalty_account", 1, Removal.PSEUDONYMISED))
            found.append(Removed("ledger_entry", member.entry_count, Removal.PSEUDONYMISED))
        for collection, kind in FACTS:
            if await self._store.get(tenant, collection, customer_id):
                found.append(Removed(kind, 1))
        for personal in PERSONAL:
            if count := await self._store.count(tenant, personal.collection, _of(personal, customer_id)):
                found.append(Removed(personal.kind, count, personal.removal))
        return found

    async def _move(self, tenant: str, program: Program, member_id: str, told: Erasure) -> None:
        """Make the member's entries and account the pseudonym's: the account last, for a crash to leave it behind."""
        people = {customer_id: told.pseudonym_of(customer_id) for customer_id in told.customer_ids}
        pseudonym = people[member_id]
        while document := await self._store.get(tenant, MEMBERS, key(program.id, member_id)):
            where = {"program_id": program.id, "member_id": member_id}
            query = Query(where=where, order_by="sequence", limit=ENTRIES_MAX)
            page = await self._store.find(tenant, ENTRIES, query)
            entries = [(each, read_entry(each.id, each.body)) for each in page.documents]
            for partner_id in {entry.partner_id for _, entry in entries} - {"", *people, *people.values()}:
                await self._unname(tenant, program, partner_id, people)
            moved = [(each, entry, _renamed(entry, people)) for each, entry in entries]
            writes = [write for each, _, renamed in moved for write in _moved(tenant, each, renamed)]
            names = {**people, **{entry.id: renamed.id for _, entry, renamed in moved}}
            writes += await self._answers(tenant, [entry for _, entry in entries], names)
            if not page.next_cursor:
                member = read_member(document.body)
                body = member_body(renamed_member(replace(member, id=pseudonym), people, _path), program)
                writes += [
                    Put(tenant, ERASED, ERASED_ID, {}),
                    Delete(tenant, MEMBERS, document.id, document.version),
                    Insert(tenant, MEMBERS, key(program.id, pseudonym), body),
                    Delete(tenant, RECORDS[MEMBER_USAGE.name], key(program.id, member_id)),
                ]
            await self._store.commit(writes)

    async def _unname(self, tenant: str, program: Program, partner_id: str, people: Mapping[str, str]) -> None:
        """Take the person's names out of the account of somebody with whom they were merged once."""
        where, after = {"program_id": program.id, "member_id": partner_id}, ""
        while True:
            query = Query(where=where, order_by="sequence", limit=ENTRIES_MAX, after=after)
            page = await self._store.find(tenant, ENTRIES, query)
            writes: list[Write] = []
            for each in page.documents:
                entry = read_entry(each.id, each.body)
                if (renamed := renamed_entry(entry, people, _path)) != entry:
                    writes.append(Replace(tenant, ENTRIES, each.id, entry_body(renamed), each.version))
            await self._store.commit(writes)
            after = page.next_cursor
            if not after:
                return

    async def _answers(self, tenant: str, entries: Sequence[Entry], names: Mapping[str, str]) -> list[Write]:
        """The answers that are kept for replay, without the person: ``names`` by what replaces them."""
        ids = list({entry.request_id for entry in entries if entry.request_id})
        found = await self._store.get_many(tenant, REQUESTS, ids)
        return [Replace(tenant, REQUESTS, each.id, _without(each.body, names), each.version) for each in found.values()]

    async def _forget_records(self, tenant: str, customer_id: str, pseudonym: str) -> None:
        await self._store.commit([Delete(tenant, collection, customer_id) for collection, _ in FACTS])
        for personal in PERSONAL:
            while found := (await self._store.find(tenant, personal.collection, _of(personal, customer_id))).documents:
                await self._store.commit(
                    [
                        Delete(tenant, personal.collection, each.id, each.version)
                        if personal.removal is Removal.DELETED
                        else Replace(
                            tenant,
                            personal.collection,
                            each.id,
                            _named(each.body, customer_id, pseudonym),
                            each.version,
                        )
                        for each in found
                    ]
                )


class StoredPersonalData:
    """The port ``PersonalData``: what is kept of a person, in words."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, tenant: str, customer_id: str) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
        """Records of a kind after those of another, in pages; times in microseconds."""
        for program in (await StoredPrograms(self._store).all(tenant)).values():
            document = await self._store.get(tenant, MEMBERS, key(program.id, customer_id))
            if document:
                member = read_member(document.body)
                account = {
                    "program": program.name,
                    "balance_points": member.balance,
                    "pending_points": member.pending_points,
                    "earned_points": member.earned,
                    "spent_points": member.spent,
                    "expired_points": member.expired,
                    "tier": member.tier_id,
                    "enroll_time": member.enroll_time,
                }
                yield [("loyalty_account", account)]
                async for page in self._entries(tenant, program, customer_id):
                    yield page
        for collection, kind in FACTS:
            if document := await self._store.get(tenant, collection, customer_id):
                yield [(kind, {name: value for name, value in document.body.items() if value})]
        for personal in PERSONAL:
            async for page in self._records(tenant, personal, customer_id):
                yield page

    async def _entries(
        self, tenant: str, program: Program, member_id: str
    ) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
        where = {"program_id": program.id, "member_id": member_id}
        after = ""
        while True:
            query = Query(where=where, order_by="sequence", limit=ENTRIES_MAX, after=after)
            page = await self._store.find(tenant, ENTRIES, query)
            if page.documents:
                yield [("ledger_entry", _told(read_entry(each.id, each.body), program)) for each in page.documents]
            after = page.next_cursor
            if not after:
                return

    async def _records(
        self, tenant: str, personal: Personal, customer_id: str
    ) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
        after = ""
        while True:
            query = replace(_of(personal, customer_id), after=after)
            page = await self._store.find(tenant, personal.collection, query)
            if page.documents:
                yield [(personal.kind, _scalars(each.body)) for each in page.documents]
            after = page.next_cursor
            if not after:
                return


def _scalars(body: Body) -> dict[str, Any]:
    return {name: value for name, value in body.items() if isinstance(value, (str, int, float)) and value != ""}


def _of(personal: Personal, customer_id: str) -> Query:
    return Query(where={personal.field: customer_id}, limit=ENTRIES_MAX)


def _added(removed: Iterable[Removed]) -> list[Removed]:
    """Counts of a kind, of several ids of one person, added up."""
    counts: Counter[tuple[str, Removal]] = Counter()
    for each in removed:
        counts[each.kind, each.removal] += each.count
    return [Removed(kind, count, removal) for (kind, removal), count in counts.items()]


def _renamed(entry: Entry, people: Mapping[str, str]) -> Entry:
    """The entry as the pseudonym's, without words; under another id where the id told whose it was."""
    pseudonym = people[entry.member_id]
    event_id = _path(entry.event_id, entry.member_id, pseudonym) if entry.event_id.startswith("_") else entry.event_id
    moved = replace(
        renamed_entry(entry, people, _path),
        member_id=pseudonym,
        event_id=event_id,
        source_entry_id=_path(entry.source_entry_id, entry.member_id, pseudonym),
        reason=entry.reason if entry.kind is EntryKind.EVENT else "",
    )
    return replace(moved, id=own_id(moved))


def _moved(tenant: str, document: Document, moved: Entry) -> list[Write]:
    if moved.id == document.id:
        return [Replace(tenant, ENTRIES, moved.id, entry_body(moved), document.version)]
    return [
        Delete(tenant, ENTRIES, document.id, document.version),
        Insert(tenant, ENTRIES, moved.id, {**entry_body(moved), RENAMED: True}),
    ]


def _path(text: str, member_id: str, pseudonym: str) -> str:
    """An id of an occasion, or of what came of it, as the pseudonym's."""
    of_occasion = any(f"_{trigger.value}/" in text for trigger in OCCASIONS)
    if not (of_occasion and text.endswith(f"/{member_id}")):
        return text
    return f"{text.removesuffix(member_id)}{pseudonym}"


def _named(value: Any, customer_id: str, pseudonym: str) -> Any:
    """The same, of the pseudonym wherever it names the person: a quote inside an order does too."""
    if isinstance(value, dict):
        return {name: _named(part, customer_id, pseudonym) for name, part in value.items()}
    if isinstance(value, list):
        return [_named(part, customer_id, pseudonym) for part in value]
    return pseudonym if value == customer_id else value


def _without(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(part, names) for name, part in value.items() if name != "reason"}
    if isinstance(value, list):
        return [_without(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


def _told(entry: Entry, program: Program) -> dict[str, Any]:
    told = {
        "program": program.name,
        "what": entry.kind.value,
        "points": entry.points,
        "balance_points": entry.balance,
        "event_time": entry.event_time,
        "record_time": entry.record_time,
        "order": entry.order_id,
        "order_amount_minor": entry.order_amount_minor,
        "currency": program.currency if entry.order_amount_minor else "",
        "reward": entry.reward_id,
        "reason": entry.reason,
        "tier": entry.tier_id,
    }
    return {name: value for name, value in told.items() if value}
