"""Make mails of messages: look up the address, render, compose. CPU work, done in a thread for a batch at a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.crm.domain import message as reasons
from services.crm.domain.address import AddressInvalid, parse
from services.crm.domain.campaign import Campaign
from services.crm.domain.customer import Customer
from services.crm.domain.mail import Mail, compose
from services.crm.domain.message import Message
from services.crm.domain.template import Content, RenderFailed
from services.crm.domain.unsubscribe import Links
from services.crm.ports import Change, Renderer, Versioned


class Preparation:
    """One campaign's content, parsed once, made into mails."""

    def __init__(
        self, renderer: Renderer, campaign: Campaign, content: Content, unsubscribe_address: str, links: Links | None
    ) -> None:
        self._renderer, self._campaign, self._content = renderer, campaign, content
        self._unsubscribe_address, self._links = unsubscribe_address, links

    def prepare(
        self, batch: Sequence[Versioned[Message]], customers: Mapping[str, Customer], now: datetime
    ) -> tuple[list[Change], list[tuple[Versioned[Message], Mail]]]:
        """The messages that are skipped, with the reason, and the mails of the others."""
        rendering = self._renderer.parse(self._content)
        skipped: list[Change] = []
        mails: list[tuple[Versioned[Message], Mail]] = []

        def skip(message: Versioned[Message], reason: str, detail: str) -> None:
            skipped.append((message, message.value.skipped(reason, detail, now)))

        for message in batch:
            customer = customers.get(message.value.customer_id)
            if customer is None:
                skip(message, reasons.CUSTOMER_NOT_FOUND, "profiles does not know the customer")
            elif not customer.email:
                skip(message, reasons.NO_ADDRESS, "the customer has no trait email and no identifier of that type")
            else:
                try:
                    address = parse(customer.email)
                    content = rendering.render({**customer.variables(), **self._campaign.variables()})
                except AddressInvalid as error:
                    skip(message, reasons.ADDRESS_INVALID, error.message)
                except RenderFailed as error:
                    skip(message, reasons.RENDER_FAILED, error.message)
                else:
                    mails.append((message, self._compose(message.value, address, content, now)))
        return skipped, mails

    def _compose(self, message: Message, address: str, content: Content, now: datetime) -> Mail:
        sender, unsubscribe_address = self._campaign.sender, self._unsubscribe_address
        link = self._links.of(message.message_id) if self._links else ""
        return compose(message.message_id, sender, address, content, now, unsubscribe_address, link)
