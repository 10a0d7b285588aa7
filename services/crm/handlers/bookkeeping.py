"""What becomes of one campaign's messages, committed together with the counts, in as few commits as possible."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.common.errors import AlreadyExists, Conflict
from services.crm.domain.campaign import Campaign, moves
from services.crm.domain.message import MessageState
from services.crm.ports import Campaigns, Change, Messages, Versioned

ATTEMPTS_MAX = 20

Edit = Callable[[Campaign], Campaign]


@dataclass(frozen=True, slots=True)
class _Entry:
    changes: Sequence[Change]
    edit: Edit | None
    committed: asyncio.Future[None]


class Book:
    """The campaign as it is stored, and the only hand that writes its counts.

    Entries that come while a commit is at work go into the next one together. The campaign may be changed by others
    (paused, cancelled): then it is read again and the entries are applied to what it has become.
    """

    def __init__(self, campaigns: Campaigns, messages: Messages, tenant: str, campaign: Versioned[Campaign]) -> None:
        self._campaigns, self._messages, self._tenant = campaigns, messages, tenant
        self._read = campaign
        self._read_at = time.monotonic()
        self._waiting: list[_Entry] = []
        self._lock = asyncio.Lock()
        self.sent = False
        """Whether some message was sent through this book."""

    @property
    def campaign(self) -> Campaign:
        """The campaign when it was last read or written."""
        return self._read.value

    @property
    def read(self) -> Versioned[Campaign]:
        """The same with its version."""
        return self._read

    @property
    def age_seconds(self) -> float:
        """How long ago ``campaign`` was certainly the truth."""
        return time.monotonic() - self._read_at

    async def refresh(self) -> Campaign:
        """Read the campaign again."""
        async with self._lock:
            await self._read_again()
        return self.campaign

    async def record(self, changes: Sequence[Change] = (), edit: Edit | None = None) -> None:
        """Commit ``changes`` and ``edit`` to the campaign; returns once they are durable.

        A change to a message that another process has moved on in the meantime is dropped: it was recorded there.
        """
        entry = _Entry(changes, edit, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        async with self._lock:
            if not entry.committed.done():  # else it went with the commit that was waited for
                await self._commit_waiting()
        entry.committed.result()

    async def _commit_waiting(self) -> None:
        entries, self._waiting = self._waiting, []
        try:
            await self._commit(entries)
        except BaseException as error:
            for entry in entries:
                entry.committed.set_exception(error)
                entry.committed.exception()  # marks it as seen, for those whose caller is gone
            raise
        for entry in entries:
            entry.committed.set_result(None)

    async def _commit(self, entries: Sequence[_Entry]) -> None:
        changes = [change for entry in entries for change in entry.changes]
        for _ in range(ATTEMPTS_MAX):
            campaign = _edited(self.campaign, entries, changes)
            try:
                self._read = await self._messages.record(self._tenant, self._read, campaign, changes)
            except (Conflict, AlreadyExists):
                await self._read_again()
                changes = await self._still_true(changes)
                continue
            self._read_at = time.monotonic()
            self.sent = self.sent or _has_sent(changes)
            return
        raise Conflict(f"campaign {self.campaign.campaign_id} is changed too often by others")

    async def _read_again(self) -> None:
        read = await self._campaigns.get(self._tenant, self.campaign.campaign_id)
        if read is None:
            raise Conflict(f"campaign {self.campaign.campaign_id} is gone")
        self._read, self._read_at = read, time.monotonic()

    async def _still_true(self, changes: Sequence[Change]) -> list[Change]:
        stored = await self._messages.get_many(self._tenant, [after.message_id for _, after in changes])

        def holds(change: Change) -> bool:
            before, now = change[0], stored.get(change[1].message_id)
            return (before.version if before else None) == (now.version if now else None)

        return [change for change in changes if holds(change)]


def _edited(campaign: Campaign, entries: Sequence[_Entry], changes: Sequence[Change]) -> Campaign:
    counted = moves((before.value if before else None, after) for before, after in changes)
    campaign = replace(campaign, counts=campaign.counts.after(counted))
    if campaign.problem and _has_sent(changes):
        campaign = replace(campaign, problem="")
    for entry in entries:
        if entry.edit is not None:
            campaign = entry.edit(campaign)
    return campaign


def _has_sent(changes: Sequence[Change]) -> bool:
    return any(after.state is MessageState.SENT for _, after in changes)
