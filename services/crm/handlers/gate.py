"""The gate before each message: what the person allows at the moment of sending."""

import time
from collections.abc import Sequence

from services.crm.domain.campaign import Campaign
from services.crm.domain.consent import ConsentPolicy, ConsentState, objection
from services.crm.domain.message import Message
from services.crm.ports import Consents

TRUTH_SECONDS_MAX = 0.5
"""How old an answer of profiles may be when a message is sent."""


class Gate:
    """What is known of the consents of a batch of recipients, asked again when it is old."""

    def __init__(self, consents: Consents, tenant: str, campaign: Campaign) -> None:
        self._consents, self._tenant, self._campaign = consents, tenant, campaign
        self._known: dict[str, tuple[float, ConsentState]] = {}

    async def ask(self, customer_ids: Sequence[str]) -> None:
        """Ask profiles about these; ``Unavailable``: then nothing is sent."""
        campaign, began = self._campaign, time.monotonic()
        if campaign.consent_policy is ConsentPolicy.NOT_NEEDED or not customer_ids:
            return
        channel = campaign.channel.name.lower()
        states = await self._consents.states(self._tenant, customer_ids, campaign.consent_purpose, channel)
        self._known.update((each, (began, states.get(each, ConsentState.UNKNOWN))) for each in customer_ids)

    async def objection(self, message: Message) -> tuple[str, str] | None:
        """Why ``message`` must not be sent now, as reason and words; ``None`` if it may. ``Unavailable``."""
        asked_at, state = self._known.get(message.customer_id, (float("-inf"), ConsentState.UNKNOWN))
        if time.monotonic() - asked_at > TRUTH_SECONDS_MAX:
            await self.ask([message.customer_id])
            _, state = self._known.get(message.customer_id, (asked_at, ConsentState.UNKNOWN))
        return objection(self._campaign.consent_policy, state)
