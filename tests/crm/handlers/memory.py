"""Campaigns and messages kept in memory, with the versions and the refusals of the real store."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.common.errors import AlreadyExists, Conflict
from services.crm.domain.campaign import Campaign
from services.crm.domain.message import Message
from services.crm.ports import Change, Request, Versioned


class Memory:
    """What of the ports ``Campaigns`` and ``Messages`` the bookkeeping uses, for one campaign."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = Versioned(campaign, 1)
        self.messages: dict[str, Versioned[Message]] = {}
        self.commits: list[int] = []
        """How many changes each commit held."""

    async def get(self, tenant: str, campaign_id: str) -> Versioned[Campaign] | None:
        await asyncio.sleep(0)
        return self.campaign

    async def replace(
        self,
        tenant: str,
        read: Versioned[Campaign],
        campaign: Campaign,
        request: Request | None = None,
        due_time: datetime | None = None,
    ) -> Versioned[Campaign]:
        self._check(read)
        self.campaign = Versioned(campaign, read.version + 1)
        return self.campaign

    async def get_many(self, tenant: str, message_ids: Sequence[str]) -> dict[str, Any]:
        return {key: self.messages[key] for key in message_ids if key in self.messages}

    async def record(
        self, tenant: str, read: Versioned[Campaign], campaign: Campaign, changes: Sequence[Change]
    ) -> Versioned[Campaign]:
        await asyncio.sleep(0)  # others have their turn, as while a store is at work
        self._check(read)
        for before, after in changes:
            there = self.messages.get(after.message_id)
            if before is None and there is not None:
                raise AlreadyExists(after.message_id)
            if before is not None and (there is None or there.version != before.version):
                raise Conflict(after.message_id)
        for before, after in changes:
            self.messages[after.message_id] = Versioned(after, before.version + 1 if before else 1)
        self.campaign = Versioned(campaign, read.version + 1)
        self.commits.append(len(changes))
        return self.campaign

    def disturb(self) -> None:
        """What another process does to the campaign."""
        read = self.campaign
        self.campaign = Versioned(replace(read.value, name=read.value.name + "!"), read.version + 1)

    def _check(self, read: Versioned[Campaign]) -> None:
        if read.version != self.campaign.version:
            raise Conflict("campaign")
