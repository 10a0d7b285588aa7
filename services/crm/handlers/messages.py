"""Read messages: of a campaign, to a customer, to many customers."""

import asyncio
from collections.abc import Sequence

from services.crm.domain.message import Message, MessageState, ParentInvalid
from services.crm.ports import Messages, Page


async def list_messages(
    messages: Messages,
    tenant: str,
    campaign_id: str,
    customer_id: str,
    state: MessageState | None,
    limit: int,
    token: str,
) -> Page[Message]:
    """A page of the messages of one parent; ``ParentInvalid``."""
    if bool(campaign_id) == bool(customer_id):
        raise ParentInvalid("name a campaign_id or a customer_id, and not both", field="campaign_id")
    if customer_id and state is not None:
        raise ParentInvalid("messages to a customer cannot be listed by state", field="state")
    if campaign_id:
        return await messages.of_campaign(tenant, campaign_id, state, limit, token)
    return await messages.to_customer(tenant, customer_id, limit, token)


async def batch_get_customer_messages(
    messages: Messages, tenant: str, customer_ids: Sequence[str], limit: int
) -> dict[str, tuple[Message, ...]]:
    """The newest messages to each customer, in the order asked for."""
    wanted = list(dict.fromkeys(customer_ids))
    pages = await asyncio.gather(*(messages.to_customer(tenant, customer, limit, "") for customer in wanted))
    return {customer: page.items for customer, page in zip(wanted, pages, strict=True)}
