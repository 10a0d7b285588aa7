"""Consents as documents: what holds, one for each origin; what was said, one for each statement."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from typing import Any

from services.common.idempotency import remember, replayed
from services.common.store import (
    Collection,
    Delete,
    Document,
    Index,
    Insert,
    Put,
    Query,
    Range,
    Replace,
    Store,
    Write,
)
from services.profiles.adapters.changes import tell
from services.profiles.adapters.customer_keys import CustomerKeys, Keys, seal_content, unseal_content
from services.profiles.adapters.interleaved import Run, Runs, newest_first
from services.profiles.domain.consent import Consent, Consents, ConsentState, Proof, Statement
from services.profiles.ports import ConsentUpdate, Request, Versioned

CONSENTS = Collection("consents")
STATEMENTS = Collection(
    "consent_statements", (Index(("customer_id", "time")), Index(("customer_id", "purpose", "time")))
)
EXPIRIES = Collection("consent_expiries", (Index(("due",)),))
CONSENT_COLLECTIONS = (CONSENTS, STATEMENTS, EXPIRIES)
PLATFORM = "*"
LATEST = 2**62
"""A time that lies after every statement."""
ERASED = {"erased": True}
"""What is left of the consents of somebody who was erased: nobody can write them again."""


class StoredConsents:
    """The port ``ConsentBook``."""

    def __init__(self, store: Store, keys: CustomerKeys) -> None:
        self._store, self._keys = store, keys

    async def get_many(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, Versioned[Consents]]:
        found = await self._store.get_many(tenant, CONSENTS, customer_ids)
        return {
            key: Versioned(_consents(document), document.version)
            for key, document in found.items()
            if document.body != ERASED
        }

    async def history(
        self, tenant: str, customer_ids: Sequence[str], purpose: str, limit: int, after: str
    ) -> tuple[list[Statement], str]:
        of_purpose = {"purpose": purpose} if purpose else {}
        runs = [Run({"customer_id": customer_id, **of_purpose}, LATEST) for customer_id in customer_ids]
        token_of = repr((tenant, customer_ids[0], purpose))
        documents, token = await newest_first(
            self._store, tenant, Runs(STATEMENTS, runs), lambda _: True, limit, after, token_of
        )
        keys = await self._keys.read(tenant, {document.body["customer_id"] for document in documents})
        return [_statement(tenant, document, keys) for document in documents], token

    async def answered(self, request: Request) -> dict[str, Any] | None:
        return await replayed(self._store, request.tenant, request.id, request.fingerprint)

    async def commit(
        self, tenant: str, updates: Sequence[ConsentUpdate], request: Request | None, answer: dict[str, Any]
    ) -> None:
        who = {update.consents.customer_id for update in updates if update.statements}
        keys, made = await self._keys.for_writing(tenant, who, who)
        writes = [*await self._keys.writes(tenant, made), *consent_writes(tenant, updates, keys)]
        if request is not None:
            writes += remember(request.tenant, request.id, request.fingerprint, answer)
        if writes:
            await self._store.commit(writes)
        self._keys.remember(tenant, made)

    async def expired(self, now: int, limit: int) -> list[tuple[str, str]]:
        query = Query(range=Range("due", at_most=now), order_by="due", limit=limit)
        page = await self._store.find(PLATFORM, EXPIRIES, query)
        return [(document.body["tenant"], document.body["customer_id"]) for document in page.documents]

    async def forget_expiry(self, tenant: str, customer_id: str) -> None:
        await self._store.commit([Delete(PLATFORM, EXPIRIES, _expiry_id(tenant, customer_id))])


def consent_writes(tenant: str, updates: Iterable[ConsentUpdate], keys: Keys) -> Iterator[Write]:
    """The writes of some updates: what holds, what was said, what followers hear, and when the next runs out.

    Proofs are sealed with the ``keys`` of those who said it.
    """
    for update in updates:
        consents = update.consents
        key, body = consents.customer_id, _body(consents)
        if update.version is None:
            yield Insert(tenant, CONSENTS, key, body)
        else:
            yield Replace(tenant, CONSENTS, key, body, update.version)
        for statement in update.statements:
            yield Insert(tenant, STATEMENTS, statement.statement_id, _statement_body(tenant, statement, keys[key]))
        for change in update.changes:
            yield tell(change, f"{key}:{change.purpose}:{change.channel}:{change.change_time}")
        if due := consents.next_expiry:
            yield Put(PLATFORM, EXPIRIES, _expiry_id(tenant, key), {"tenant": tenant, "customer_id": key, "due": due})
        elif update.version is not None:
            yield Delete(PLATFORM, EXPIRIES, _expiry_id(tenant, key))


def _expiry_id(tenant: str, customer_id: str) -> str:
    return f"{tenant}:{customer_id}"


def _body(consents: Consents) -> dict[str, Any]:
    return {"entries": [_entry(consent) for consent in consents.entries.values()]}


def _entry(consent: Consent) -> list[Any]:
    return [
        consent.purpose,
        consent.channel,
        int(consent.said),
        consent.time,
        consent.confirm_time,
        consent.expire_time,
        consent.told_time,
        consent.source,
        consent.expiry_told,
    ]


def _consents(document: Document) -> Consents:
    entries = {}
    for entry in document.body["entries"]:
        purpose, channel, said, time, confirm_time, expire_time, told_time, source, expiry_told = entry
        entries[purpose, channel] = Consent(
            purpose,
            channel,
            ConsentState(said),
            time,
            confirm_time,
            expire_time,
            told_time,
            source,
            expiry_told,
            document.id,
        )
    return Consents(document.id, entries)


def _statement_body(tenant: str, statement: Statement, key: bytes) -> dict[str, Any]:
    return {
        "customer_id": statement.customer_id,
        "purpose": statement.purpose,
        "channel": statement.channel,
        "state": int(statement.state),
        "time": statement.time,
        "recorded": statement.record_time,
        "expire_time": statement.expire_time,
        "sealed": seal_content(key, list(astuple(statement.proof)), _place(tenant, statement.statement_id)),
        "recorded_by": statement.recorded_by,
    }


def _statement(tenant: str, document: Document, keys: Keys) -> Statement:
    """What was said; without its proof where the key is destroyed."""
    body = document.body
    proof, key = body.get("proof", ()), keys.get(body["customer_id"])
    if "sealed" in body and key is not None:
        proof = unseal_content(key, body["sealed"], _place(tenant, document.id))
    return Statement(
        statement_id=document.id,
        customer_id=body["customer_id"],
        purpose=body["purpose"],
        channel=body["channel"],
        state=ConsentState(body["state"]),
        time=body["time"],
        record_time=body["recorded"],
        expire_time=body["expire_time"],
        proof=Proof(*proof),
        recorded_by=body["recorded_by"],
    )


def _place(tenant: str, statement_id: str) -> str:
    return f"consent\0{tenant}\0{statement_id}"
