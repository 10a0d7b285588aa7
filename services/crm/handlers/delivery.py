"""Carry out one campaign's run: record its audience, then render and send what is queued, until nothing is.

The work can be interrupted at any point and taken up by another process: everything it needs to know is stored. A
message is on disk before it is given to the mail server; what became of it is on disk before its sender takes the
next one. So a process that dies leaves at most ``lanes_max`` messages of which nobody knows whether they went out,
and those are sent again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.common import telemetry
from services.common.clock import Clock
from services.common.errors import Conflict, InvalidCursor, Refusal, Unavailable
from services.crm.domain.campaign import Campaign, CampaignState
from services.crm.domain.consent import ConsentPolicy
from services.crm.domain.mail import Mail
from services.crm.domain.message import (
    CAMPAIGN_CANCELLED,
    CAMPAIGN_FAILED,
    RECIPIENT_MERGED,
    Message,
    queue,
    repeats,
)
from services.crm.domain.unsubscribe import Links
from services.crm.handlers.bookkeeping import Book
from services.crm.handlers.gate import Gate
from services.crm.handlers.preparation import Preparation
from services.crm.ports import (
    Audience,
    Campaigns,
    Change,
    Consents,
    Customers,
    Lane,
    MailDeferred,
    Mailer,
    MailRefused,
    Messages,
    Renderer,
    Run,
    Runs,
    SegmentNotFound,
    Templates,
    Unsubscribes,
    Versioned,
)

log = logging.getLogger(__name__)

AUDIENCE_PAGE = 500
SENDING_BATCH = 250
TRUTH_SECONDS_MAX = 0.25
"""How old knowledge of the campaign's state may be when a message is sent: what a pause can be late by."""
PUT_OFF_SECONDS_MAX = 60.0
LEAVE_ATTEMPTS_MAX = 10


@dataclass(frozen=True, slots=True)
class Means:
    """What delivery needs from outside."""

    templates: Templates
    campaigns: Campaigns
    runs: Runs
    messages: Messages
    audience: Audience
    customers: Customers
    consents: Consents
    renderer: Renderer
    mailer: Mailer | None
    clock: Clock
    unsubscribes: Unsubscribes | None = None


ALREADY_WRITTEN = "the same person is written to under another of the ids that were merged"


@dataclass(frozen=True, slots=True)
class Policy:
    """How delivery behaves."""

    lease: timedelta
    """How long a process may be silent before another takes its runs."""
    retry_backoff: timedelta
    """The first wait before a message that was refused for the moment is tried again."""
    unsubscribe_address: str
    """For the ``List-Unsubscribe`` header; empty: none."""
    unsubscribe_url: str = ""
    """Where the gateway hears of links in that header; empty: none."""


class Delivery:
    """One process's work on one run that it holds."""

    def __init__(
        self, means: Means, policy: Policy, run: Run, campaign: Versioned[Campaign], stopping: asyncio.Event
    ) -> None:
        self._means, self._policy, self._run, self._stopping = means, policy, run, stopping
        self._tenant = run.tenant
        self._book = Book(means.campaigns, means.messages, run.tenant, campaign)
        self._lost = False
        self._halted = False

    async def carry_out(self) -> None:
        """Work until nothing is left, or nothing can be done for now; then give the run back."""
        failures = 0
        try:
            async with self._kept():
                due_time = await self._proceed()
        except Exception as error:
            failures = 1 if self._book.sent else self._run.failures + 1
            due_time = self._means.clock() + timedelta(seconds=min(2.0**failures, PUT_OFF_SECONDS_MAX))
            await self._tell(_words(error))
        if not self._lost:
            await self._leave(due_time, failures)

    async def _proceed(self) -> datetime:
        """When there is something to do again, as far as that is known from here."""
        while True:
            now = self._means.clock()
            campaign = await self._book.refresh()
            if self._stopping.is_set() or self._lost:
                return now
            match campaign.state:
                case CampaignState.SCHEDULED if campaign.due_time(now) <= now:
                    await self._book.record(edit=_if(CampaignState.SCHEDULED, Campaign.running))
                case CampaignState.RUNNING if not campaign.audience_complete:
                    await self._enlist(campaign)
                case CampaignState.RUNNING if campaign.finished:
                    await self._complete(now)
                case CampaignState.RUNNING:
                    batch = await self._means.messages.due(self._tenant, campaign.campaign_id, now, SENDING_BATCH)
                    if not batch:
                        return await self._next_due(now)
                    await self._send(campaign, batch)
                case CampaignState.CANCELLED if campaign.counts.queued:
                    await self._sweep(CAMPAIGN_CANCELLED)
                case CampaignState.FAILED if campaign.counts.queued:
                    await self._sweep(CAMPAIGN_FAILED)
                case _:
                    return now

    async def _enlist(self, campaign: Campaign) -> None:
        """Record one page of the segment's members, those that are new, and where the next page begins."""
        audience, now = self._means.audience, self._means.clock()
        try:
            page = await audience.members(self._tenant, campaign.segment_id, AUDIENCE_PAGE, campaign.audience_cursor)
        except InvalidCursor:  # segmentation no longer knows the place; who is recorded already is recognised
            await self._book.record(edit=lambda it: replace(it, audience_cursor=""))
            return
        except SegmentNotFound as error:
            problem = error.message
            await self._book.record(edit=_if(CampaignState.RUNNING, lambda it: it.failed(problem, now)))
            return
        members = [queue(campaign.campaign_id, customer_id, now) for customer_id in dict.fromkeys(page.items)]
        known = await self._means.messages.get_many(self._tenant, [message.message_id for message in members])
        fresh = [message for message in members if message.message_id not in known]
        others = await self._means.messages.of_person(self._tenant, fresh)
        added: list[Change] = [(None, message) for message in fresh if not repeats(message, others[message.message_id])]
        token = page.next_token
        await self._book.record(added, lambda it: replace(it, audience_cursor=token, audience_complete=not token))

    async def _complete(self, now: datetime) -> None:
        await self._book.record(edit=_if(CampaignState.RUNNING, lambda it: it.completed(now)))

    async def _sweep(self, reason: str) -> None:
        now = self._means.clock()
        queued = await self._means.messages.queued(self._tenant, self._run.campaign_id, AUDIENCE_PAGE)
        await self._book.record([(it, it.value.skipped(reason, "", now)) for it in queued])

    async def _next_due(self, now: datetime) -> datetime:
        first = await self._means.messages.queued(self._tenant, self._run.campaign_id, 1)
        return first[0].value.due_time if first else now

    async def _send(self, campaign: Campaign, batch: Sequence[Versioned[Message]]) -> None:
        mailer = self._means.mailer
        if mailer is None:
            raise Unavailable("there is no provider for email; set CRM_SMTP_URL and start crm again")
        gate = Gate(self._means.consents, self._tenant, campaign)
        skipped, mails = await self._prepare(campaign, batch, gate)
        if skipped:
            await self._book.record(skipped)
        queue = iter(mails)
        workers = (self._work(mailer, queue, gate) for _ in range(min(mailer.lanes_max, len(mails))))
        outcomes = await asyncio.gather(*workers, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _prepare(
        self, campaign: Campaign, batch: Sequence[Versioned[Message]], gate: Gate
    ) -> tuple[list[Change], list[tuple[Versioned[Message], Mail]]]:
        """What is not to be sent, and the mails of the rest, by what is known of the customers now."""
        means = self._means
        others = await means.messages.of_person(self._tenant, [message.value for message in batch])
        again = [message for message in batch if repeats(message.value, others[message.value.message_id])]
        batch = [message for message in batch if message not in again]
        await gate.ask([message.value.customer_id for message in batch])
        objections = {message.value.message_id: await gate.objection(message.value) for message in batch}
        allowed = [message for message in batch if objections[message.value.message_id] is None]
        batch, blocked = allowed, [(message, why) for message in batch if (why := objections[message.value.message_id])]
        customers = await means.customers.get_many(self._tenant, [message.value.customer_id for message in batch])
        content = await means.templates.content(self._tenant, campaign.template_id, campaign.template_revision)
        address, links = self._policy.unsubscribe_address, await self._links(campaign)
        preparation = Preparation(means.renderer, campaign, content, address, links)
        now = means.clock()
        refused: list[Change] = [(message, message.value.skipped(*why, now)) for message, why in blocked]
        refused += [(message, message.value.skipped(RECIPIENT_MERGED, ALREADY_WRITTEN, now)) for message in again]
        skipped, mails = await asyncio.to_thread(preparation.prepare, batch, customers, now)
        # Held back only now, when the mail is made: who could not be written to is in neither group.
        control = {message.value.message_id for message, _ in mails if campaign.holds_back(message.value.customer_id)}
        held: list[Change] = [
            (message, message.value.held_back(now)) for message, _ in mails if message.value.message_id in control
        ]
        return [*refused, *skipped, *held], [it for it in mails if it[0].value.message_id not in control]

    async def _links(self, campaign: Campaign) -> Links | None:
        """For mails that need consent; nobody leaves the list of those who hear of a recall."""
        unsubscribes, url = self._means.unsubscribes, self._policy.unsubscribe_url
        if unsubscribes is None or not url or campaign.consent_policy is ConsentPolicy.NOT_NEEDED:
            return None
        return Links(url, self._tenant, await unsubscribes.key(self._tenant))

    async def _work(self, mailer: Mailer, queue: Iterator[tuple[Versioned[Message], Mail]], gate: Gate) -> None:
        """Send one mail after the other, each recorded before the next, as long as that is allowed."""
        for message, mail in queue:
            try:
                async with mailer.lane() as lane:
                    if not await self._may_send():
                        return
                    # What was allowed when the mail was made may have been withdrawn while it waited for its turn.
                    if why := await gate.objection(message.value):
                        after = message.value.skipped(*why, self._means.clock())
                    else:
                        after = await self._deliver(lane, message.value, mail)
                await self._book.record([(message, after)])
            except BaseException:
                self._halted = True  # the others finish what they are at, and no more
                raise

    async def _deliver(self, lane: Lane, message: Message, mail: Mail) -> Message:
        now = self._means.clock
        try:
            await lane.send(mail)
        except MailRefused as error:
            return message.refused(mail.recipient, error.message, now())
        except MailDeferred as error:
            return message.deferred(mail.recipient, error.message, now(), self._policy.retry_backoff)
        return message.sent(mail.recipient, now())

    async def _may_send(self) -> bool:
        self._lost = self._lost or self._means.clock() >= self._run.due_time
        if self._halted or self._lost or self._stopping.is_set():
            return False
        if self._book.age_seconds > TRUTH_SECONDS_MAX:
            await self._book.refresh()
        return self._book.campaign.state is CampaignState.RUNNING

    async def _tell(self, problem: str) -> None:
        telemetry.counter("crm.campaigns.put_off").add(1)
        log.warning("campaign %s is put off: %s", self._run.campaign_id, problem)
        if not self._lost:
            await self._book.record(edit=_if(CampaignState.RUNNING, lambda it: replace(it, problem=problem)))

    @asynccontextmanager
    async def _kept(self) -> AsyncIterator[None]:
        """Keep holding the run until the block is left."""
        leaving = asyncio.Event()
        keeper = asyncio.create_task(self._keep(leaving))
        try:
            yield
        finally:
            leaving.set()
            await keeper

    async def _keep(self, leaving: asyncio.Event) -> None:
        seconds = self._policy.lease.total_seconds() / 3
        while not self._lost:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await leaving.wait()
            if leaving.is_set():
                return
            try:
                self._run = await self._means.runs.hold(self._run, self._means.clock() + self._policy.lease)
            except Conflict:
                log.warning("campaign %s was taken over by another process", self._run.campaign_id)
                self._lost = True
            except Refusal as error:
                log.warning("campaign %s could not be held on to: %s", self._run.campaign_id, error.message)

    async def _leave(self, due_time: datetime, failures: int) -> None:
        """Give the run back, or end it, by what the campaign's state asks for now."""
        for _ in range(LEAVE_ATTEMPTS_MAX):
            campaign = await self._book.refresh()
            needs_work = campaign.state in (CampaignState.SCHEDULED, CampaignState.RUNNING)
            ended = campaign.state in (CampaignState.CANCELLED, CampaignState.FAILED)
            unswept = ended and campaign.counts.queued > 0
            try:
                if needs_work or unswept:
                    until = campaign.due_time(due_time)
                    await self._means.runs.put_off(self._run, self._book.read, until, failures)
                else:
                    await self._means.runs.end(self._run, self._book.read)
                return
            except Conflict:
                continue
        log.warning("campaign %s could not be given back; it comes due by itself", self._run.campaign_id)


def _words(error: Exception) -> str:
    """What people are told: a refusal's own words; for a bug, that there is one."""
    if isinstance(error, Refusal):
        return error.message
    log.error("a campaign's work failed", exc_info=error)
    return f"internal error: {type(error).__name__}; the log has more"


def _if(state: CampaignState, edit: Callable[[Campaign], Campaign]) -> Callable[[Campaign], Campaign]:
    """``edit``, where the campaign is still in ``state`` when it is committed."""
    return lambda campaign: edit(campaign) if campaign.state is state else campaign
