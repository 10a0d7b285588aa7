"""Leave a list by a link: the wish is on disk at once, and told to profiles until profiles has heard."""

import logging
from datetime import timedelta

from services.common.clock import Clock
from services.common.errors import Conflict, Unavailable
from services.crm.domain.unsubscribe import Leaving, is_genuine, read_token, unknown
from services.crm.ports import Campaigns, Consents, Messages, Unsubscribes

log = logging.getLogger(__name__)

BATCH_MAX = 100
RETRY_SECONDS = 3


async def unsubscribe(
    unsubscribes: Unsubscribes, messages: Messages, campaigns: Campaigns, clock: Clock, tenant: str | None, token: str
) -> None:
    """Keep the wish of who uses the link; ``tenant`` is ``None`` for any. ``UnsubscribeLinkUnknown``."""
    named, message_id, mac = read_token(token)
    key = await unsubscribes.known_key(named)
    if tenant not in (None, named) or key is None or not is_genuine(key, named, message_id, mac):
        raise unknown()
    message = (await messages.get_many(named, [message_id])).get(message_id)
    campaign = await campaigns.get(named, message.value.campaign_id) if message else None
    if message is None or campaign is None:
        raise unknown()
    channel = campaign.value.channel.name.lower()
    purpose, customer_id = campaign.value.consent_purpose, message.value.customer_id
    await unsubscribes.add(Leaving(named, message_id, customer_id, purpose, channel, clock()))


async def tell_profiles(unsubscribes: Unsubscribes, consents: Consents, clock: Clock) -> None:
    """Withdraw the consents that are waiting; what fails is tried again."""
    for leaving, version in await unsubscribes.due(clock(), BATCH_MAX):
        try:
            try:
                await consents.withdraw(leaving)
            except Unavailable as error:
                log.warning("a withdrawal waits: %s", error.message)
                await unsubscribes.put_off(leaving, version, clock() + timedelta(seconds=RETRY_SECONDS))
            else:
                await unsubscribes.settle(leaving, version)
        except Conflict:  # used again meanwhile, or told by another process
            continue
