"""Templates, campaigns, messages and runs over the document store."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime

from services.common import telemetry
from services.common.clock import to_micros
from services.common.idempotency import REQUESTS, remember, replayed
from services.common.store.port import (
    Collection,
    Delete,
    Document,
    Index,
    Insert,
    Query,
    Range,
    Replace,
    Scalar,
    Store,
    Write,
)
from services.crm.adapters import documents
from services.crm.adapters.people import PEOPLE, StoredPeople
from services.crm.adapters.statement import page_of_person
from services.crm.domain.campaign import Campaign
from services.crm.domain.message import Message, MessageState, message_id_of
from services.crm.domain.template import Content, Template, TemplateNotFound
from services.crm.ports import Change, Events, MessageEvent, Page, Request, Run, Versioned

TEMPLATES = Collection("templates", (Index(("create_time",)),))
TEMPLATE_REVISIONS = Collection("template_revisions")
CAMPAIGNS = Collection("campaigns", (Index(("create_time",)),))
MESSAGES = Collection(
    "messages",
    (
        Index(("campaign_id",)),
        Index(("campaign_id", "state", "order_time")),
        Index(("customer_id", "queue_time")),
    ),
)
MESSAGE_EVENTS = Collection("message_events", published=True)
RUNS = Collection("runs", (Index(("due_time",)),))
COLLECTIONS = (TEMPLATES, TEMPLATE_REVISIONS, CAMPAIGNS, MESSAGES, MESSAGE_EVENTS, RUNS, REQUESTS, PEOPLE)

PLATFORM = "*"
"""Runs are kept under the platform's own tenant, where one query finds those of all tenants."""
FEED_BATCH_MAX = 500


class StoredTemplates:
    """The port ``Templates``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, template_id: str) -> Versioned[Template] | None:
        document = await self._store.get(tenant, TEMPLATES, template_id)
        return Versioned(_template(document), document.version) if document else None

    async def get_many(self, tenant: str, template_ids: Sequence[str]) -> list[Template]:
        found = await self._store.get_many(tenant, TEMPLATES, template_ids)
        return [_template(document) for document in found.values()]

    async def page(self, tenant: str, limit: int, token: str) -> Page[Template]:
        query = Query(order_by="create_time", descending=True, limit=limit, after=token)
        page = await self._store.find(tenant, TEMPLATES, query)
        return Page(tuple(_template(document) for document in page.documents), page.next_cursor)

    async def content(self, tenant: str, template_id: str, revision: int) -> Content:
        document = await self._store.get(tenant, TEMPLATE_REVISIONS, _revision_id(template_id, revision))
        if document is None:
            raise TemplateNotFound(f"there is no revision {revision} of template {template_id}")
        return documents.content(document.body)

    async def answered(self, tenant: str, request: Request) -> Template | None:
        answer = await replayed(self._store, tenant, request.request_id, request.fingerprint)
        return documents.template(answer["id"], answer) if answer else None

    async def insert(self, tenant: str, template: Template, request: Request) -> None:
        body = documents.template_body(template)
        await self._commit(tenant, Insert(tenant, TEMPLATES, template.template_id, body), template, request)

    async def replace(self, tenant: str, read: Versioned[Template], template: Template, request: Request) -> None:
        body = documents.template_body(template)
        write = Replace(tenant, TEMPLATES, template.template_id, body, read.version)
        await self._commit(tenant, write, template, request)

    async def _commit(self, tenant: str, write: Insert | Replace, template: Template, request: Request) -> None:
        revision_id = _revision_id(template.template_id, template.revision)
        revision = Insert(tenant, TEMPLATE_REVISIONS, revision_id, documents.content_body(template.content))
        answer = {**write.body, "id": template.template_id}
        await self._store.commit(
            [write, revision, *remember(tenant, request.request_id, request.fingerprint, answer)],
        )


class StoredCampaigns:
    """The port ``Campaigns``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, campaign_id: str) -> Versioned[Campaign] | None:
        document = await self._store.get(tenant, CAMPAIGNS, campaign_id)
        return Versioned(_campaign(document), document.version) if document else None

    async def get_many(self, tenant: str, campaign_ids: Sequence[str]) -> list[Campaign]:
        found = await self._store.get_many(tenant, CAMPAIGNS, campaign_ids)
        return [_campaign(document) for document in found.values()]

    async def page(self, tenant: str, limit: int, token: str) -> Page[Campaign]:
        query = Query(order_by="create_time", descending=True, limit=limit, after=token)
        page = await self._store.find(tenant, CAMPAIGNS, query)
        return Page(tuple(_campaign(document) for document in page.documents), page.next_cursor)

    async def answered(self, tenant: str, request: Request) -> Campaign | None:
        answer = await replayed(self._store, tenant, request.request_id, request.fingerprint)
        return documents.campaign(answer["id"], answer) if answer else None

    async def insert(self, tenant: str, campaign: Campaign, request: Request) -> None:
        body = documents.campaign_body(campaign)
        insert = Insert(tenant, CAMPAIGNS, campaign.campaign_id, body)
        await self._store.commit([insert, *_answer(tenant, campaign, request)])

    async def replace(
        self,
        tenant: str,
        read: Versioned[Campaign],
        campaign: Campaign,
        request: Request | None = None,
        due_time: datetime | None = None,
    ) -> Versioned[Campaign]:
        writes: list[Write] = [_replace(tenant, read, campaign)]
        if request is not None:
            writes += _answer(tenant, campaign, request)
        if due_time is not None:
            writes += await self._run(Run(tenant, campaign.campaign_id, due_time))
        await self._store.commit(writes)
        return Versioned(campaign, read.version + 1)

    async def _run(self, run: Run) -> list[Write]:
        run_id = documents.run_id(run.tenant, run.campaign_id)
        found = await self._store.get(PLATFORM, RUNS, run_id)
        if found is None:
            return [Insert(PLATFORM, RUNS, run_id, documents.run_body(run))]
        if documents.run(found).held:
            # Its holder cannot end it without writing the campaign, and so notices this commit.
            return []
        return [Replace(PLATFORM, RUNS, run_id, documents.run_body(run), found.version)]


class StoredRuns:
    """The port ``Runs``. A run that ends or is put off rewrites its campaign, so that both are seen to change."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def due(self, now: datetime, limit: int) -> list[Run]:
        query = Query(range=Range("due_time", at_most=to_micros(now)), limit=limit)
        page = await self._store.find(PLATFORM, RUNS, query)
        return [documents.run(document) for document in page.documents]

    async def next_due_time(self) -> datetime | None:
        page = await self._store.find(PLATFORM, RUNS, Query(order_by="due_time", limit=1))
        return documents.run(page.documents[0]).due_time if page.documents else None

    async def hold(self, run: Run, until: datetime) -> Run:
        held = replace(run, due_time=until, held=True, version=run.version + 1)
        await self._store.commit([_replace_run(run, held)])
        return held

    async def end(self, run: Run, campaign: Versioned[Campaign]) -> None:
        delete = Delete(PLATFORM, RUNS, documents.run_id(run.tenant, run.campaign_id), run.version)
        await self._store.commit([delete, _replace(run.tenant, campaign, campaign.value)])

    async def put_off(self, run: Run, campaign: Versioned[Campaign], until: datetime, failures: int) -> None:
        waiting = replace(run, due_time=until, held=False, failures=failures)
        await self._store.commit([_replace_run(run, waiting), _replace(run.tenant, campaign, campaign.value)])


class StoredMessages:
    """The port ``Messages``.

    A message stays under the id that it was recorded for: whose it is, is said when it is read, so that merges and
    their undoing change no message and meet none on its way.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._people = store, StoredPeople(store)

    async def get_many(self, tenant: str, message_ids: Sequence[str]) -> dict[str, Versioned[Message]]:
        found = await self._store.get_many(tenant, MESSAGES, message_ids)
        return {key: documents.message(document) for key, document in found.items()}

    async def of_campaign(
        self, tenant: str, campaign_id: str, state: MessageState | None, limit: int, token: str
    ) -> Page[Message]:
        if state is None:
            return await self._page(tenant, Query(where={"campaign_id": campaign_id}, limit=limit, after=token))
        where: dict[str, Scalar] = {"campaign_id": campaign_id, "state": int(state)}
        return await self._page(tenant, Query(where=where, order_by="order_time", limit=limit, after=token))

    async def to_customer(self, tenant: str, customer_id: str, limit: int, token: str) -> Page[Message]:
        (ids,) = (await self._people.ids(tenant, [customer_id])).values()
        if ids[0] != customer_id:
            return Page((), "")  # nobody's id until the merge is taken back
        if len(ids) > 1:
            return await page_of_person(self._store, MESSAGES, tenant, ids, limit, token)
        where = {"customer_id": customer_id}
        query = Query(where=where, order_by="queue_time", descending=True, limit=limit, after=token)
        page = await self._store.find(tenant, MESSAGES, query)
        return Page(tuple(documents.message(document).value for document in page.documents), page.next_cursor)

    async def of_person(self, tenant: str, messages: Sequence[Message]) -> dict[str, list[Message]]:
        ids = await self._people.ids(tenant, [message.customer_id for message in messages])
        others = {
            message.message_id: [
                message_id_of(message.campaign_id, each)
                for each in ids[message.customer_id]
                if each != message.customer_id
            ]
            for message in messages
        }
        wanted = [other for found in others.values() for other in found]
        known = await self.get_many(tenant, wanted) if wanted else {}
        return {key: [known[other].value for other in found if other in known] for key, found in others.items()}

    async def due(self, tenant: str, campaign_id: str, now: datetime, limit: int) -> list[Versioned[Message]]:
        until = Range("order_time", at_most=to_micros(now))
        return await self._queued(tenant, campaign_id, until, limit)

    async def queued(self, tenant: str, campaign_id: str, limit: int) -> list[Versioned[Message]]:
        return await self._queued(tenant, campaign_id, None, limit)

    async def record(
        self, tenant: str, read: Versioned[Campaign], campaign: Campaign, changes: Sequence[Change]
    ) -> Versioned[Campaign]:
        writes: list[Write] = [_replace(tenant, read, campaign)]
        for before, message in changes:
            body = documents.message_body(message)
            if before is None:
                writes.append(Insert(tenant, MESSAGES, message.message_id, body))
            else:
                writes.append(Replace(tenant, MESSAGES, message.message_id, body, before.version))
            if before is None or before.value.state is not message.state:
                event_id = documents.event_id(message)
                told = documents.event_body(message, campaign.control_percent)
                writes.append(Insert(tenant, MESSAGE_EVENTS, event_id, told))
        await self._store.commit(writes)
        _count(changes)
        return Versioned(campaign, read.version + 1)

    async def events(self, after: str, tenant: str | None, *, experiments: bool = False) -> AsyncIterator[Events]:
        if after == await self._store.end_of_feed():
            yield Events((), after, caught_up=True)
        async for batch in self._store.changes(after, tenant=tenant, limit=FEED_BATCH_MAX):
            cursor = batch[-1].cursor
            # The newest entry of the whole feed may be another tenant's: for one tenant a batch with room is the end.
            at_end = tenant is not None or cursor == await self._store.end_of_feed()
            found = [documents.event(change.tenant, change.body) for change in batch]
            events = await self._owned([each for each in found if each.of_experiment or not experiments])
            yield Events(events, cursor, caught_up=at_end and len(batch) < FEED_BATCH_MAX)

    async def _queued(self, tenant: str, campaign_id: str, until: Range | None, limit: int) -> list[Versioned[Message]]:
        where: dict[str, Scalar] = {"campaign_id": campaign_id, "state": int(MessageState.QUEUED)}
        query = Query(where=where, range=until, order_by="order_time", limit=limit)
        page = await self._store.find(tenant, MESSAGES, query)
        return [documents.message(document) for document in page.documents]

    async def _page(self, tenant: str, query: Query) -> Page[Message]:
        page = await self._store.find(tenant, MESSAGES, query)
        found = [documents.message(document).value for document in page.documents]
        owners = await self._people.owners(tenant, [message.customer_id for message in found])
        owned = (replace(message, customer_id=owners[message.customer_id]) for message in found)
        return Page(tuple(owned), page.next_cursor)

    async def _owned(self, events: Sequence[MessageEvent]) -> list[MessageEvent]:
        """Each with whose it is now."""
        ids: dict[str, set[str]] = {}
        for event in events:
            ids.setdefault(event.tenant, set()).add(event.customer_id)
        owners = {tenant: await self._people.owners(tenant, found) for tenant, found in ids.items()}
        return [
            replace(event, customer_id=owners[event.tenant][event.customer_id], origin_id=event.customer_id)
            for event in events
        ]


def _count(changes: Sequence[Change]) -> None:
    for before, message in changes:
        if before is not None and before.value.state is message.state:
            telemetry.counter("crm.messages.deferred").add(1)
        else:
            entered = {"state": message.state.name.lower(), "reason": message.reason}
            telemetry.counter("crm.messages.entered").add(1, entered)


def _template(document: Document) -> Template:
    return documents.template(document.id, document.body)


def _campaign(document: Document) -> Campaign:
    return documents.campaign(document.id, document.body)


def _replace(tenant: str, read: Versioned[Campaign], campaign: Campaign) -> Replace:
    return Replace(tenant, CAMPAIGNS, campaign.campaign_id, documents.campaign_body(campaign), read.version)


def _answer(tenant: str, campaign: Campaign, request: Request) -> list[Insert]:
    answer = {**documents.campaign_body(campaign), "id": campaign.campaign_id}
    return remember(tenant, request.request_id, request.fingerprint, answer)


def _replace_run(read: Run, run: Run) -> Replace:
    return Replace(PLATFORM, RUNS, documents.run_id(run.tenant, run.campaign_id), documents.run_body(run), read.version)


def _revision_id(template_id: str, revision: int) -> str:
    return f"{template_id}:{revision}"
