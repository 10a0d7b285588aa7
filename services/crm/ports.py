"""What the use cases of crm need from outside."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from services.common.errors import Refusal, Unavailable
from services.crm.domain.campaign import Campaign
from services.crm.domain.consent import ConsentState
from services.crm.domain.customer import Customer
from services.crm.domain.mail import Mail
from services.crm.domain.message import Message, MessageState
from services.crm.domain.template import Content, Template, Variables
from services.crm.domain.unsubscribe import Leaving

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """By what a repeated mutation is recognised: the caller's id, and a digest of the content."""

    request_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """What was read, and the version it was read at: a write that brings it fails with ``Conflict`` if outdated."""

    value: T
    version: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page, and the token of the next; empty on the last."""

    items: tuple[T, ...]
    next_token: str


class Templates(Protocol):
    """The templates of all tenants, with every revision they ever had."""

    async def get(self, tenant: str, template_id: str) -> Versioned[Template] | None: ...

    async def get_many(self, tenant: str, template_ids: Sequence[str]) -> list[Template]: ...

    async def page(self, tenant: str, limit: int, token: str) -> Page[Template]:
        """Newest first."""
        ...

    async def content(self, tenant: str, template_id: str, revision: int) -> Content:
        """What the template said at that revision."""
        ...

    async def answered(self, tenant: str, request: Request) -> Template | None:
        """What the same request answered before; ``RequestIdReused`` if another had its id."""
        ...

    async def insert(self, tenant: str, template: Template, request: Request) -> None: ...

    async def replace(self, tenant: str, read: Versioned[Template], template: Template, request: Request) -> None: ...


class Campaigns(Protocol):
    """The campaigns of all tenants."""

    async def get(self, tenant: str, campaign_id: str) -> Versioned[Campaign] | None: ...

    async def get_many(self, tenant: str, campaign_ids: Sequence[str]) -> list[Campaign]: ...

    async def page(self, tenant: str, limit: int, token: str) -> Page[Campaign]:
        """Newest first."""
        ...

    async def answered(self, tenant: str, request: Request) -> Campaign | None:
        """What the same request answered before; ``RequestIdReused`` if another had its id."""
        ...

    async def insert(self, tenant: str, campaign: Campaign, request: Request) -> None: ...

    async def replace(
        self,
        tenant: str,
        read: Versioned[Campaign],
        campaign: Campaign,
        request: Request | None = None,
        due_time: datetime | None = None,
    ) -> Versioned[Campaign]:
        """With ``due_time`` there is work on the campaign from then on: in the same commit it gets a run, or the run
        it has is moved there, unless a process holds it: that sees the campaign change and goes on with it."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """Work on one campaign that is waiting, or that a process has taken.

    ``due_time`` is when a process may take it. Taking it moves that into the future, and the taker keeps moving it:
    when the taker dies it comes due, and another takes it.
    """

    tenant: str
    campaign_id: str
    due_time: datetime
    held: bool = False
    failures: int = 0
    """How often in a row it had to be put off because something did not answer."""
    version: int = 0


class Runs(Protocol):
    """The work that is to be done, of all tenants."""

    async def due(self, now: datetime, limit: int) -> list[Run]:
        """The runs that may be taken, the longest due first."""
        ...

    async def next_due_time(self) -> datetime | None:
        """When the next run comes due; ``None`` if there is none."""
        ...

    async def hold(self, run: Run, until: datetime) -> Run:
        """Take the run, or keep it, until then. ``Conflict`` if another process was faster."""
        ...

    async def end(self, run: Run, campaign: Versioned[Campaign]) -> None:
        """Nothing is left to do. ``Conflict`` if the campaign changed since it was read, or the run was lost."""
        ...

    async def put_off(self, run: Run, campaign: Versioned[Campaign], until: datetime, failures: int) -> None:
        """Give the run back until then. ``Conflict`` as in ``end``."""
        ...


Change = tuple[Versioned[Message] | None, Message]
"""A message before (``None``: it is new) and after."""


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """A message entered a state."""

    tenant: str
    message_id: str
    campaign_id: str
    customer_id: str
    state: MessageState
    reason: str
    event_time: datetime
    origin_id: str = ""
    """Whose it was when it was sent; empty: the customer's own."""
    control_percent: int = 0
    """How many of a hundred recipients the campaign holds back."""

    @property
    def of_experiment(self) -> bool:
        """Whether it says who was written to, or held back, in a campaign with a control group."""
        decided = (MessageState.SENT, MessageState.FAILED, MessageState.HELD_BACK)
        return self.control_percent > 0 and self.state in decided


@dataclass(frozen=True, slots=True)
class Events:
    """Events in commit order, and the cursor after them."""

    events: Sequence[MessageEvent]
    cursor: str
    caught_up: bool


class Messages(Protocol):
    """The messages of all tenants, and the feed of what becomes of them."""

    async def get_many(self, tenant: str, message_ids: Sequence[str]) -> dict[str, Versioned[Message]]: ...

    async def of_campaign(
        self, tenant: str, campaign_id: str, state: MessageState | None, limit: int, token: str
    ) -> Page[Message]: ...

    async def to_customer(self, tenant: str, customer_id: str, limit: int, token: str) -> Page[Message]:
        """Newest first."""
        ...

    async def of_person(self, tenant: str, messages: Sequence[Message]) -> dict[str, list[Message]]:
        """For each of these, by id, the messages of the same campaign to the same person under other ids that they had;
        none for somebody who was never merged."""
        ...

    async def due(self, tenant: str, campaign_id: str, now: datetime, limit: int) -> list[Versioned[Message]]:
        """Queued messages that may be tried now."""
        ...

    async def queued(self, tenant: str, campaign_id: str, limit: int) -> list[Versioned[Message]]:
        """Queued messages, whenever they are due, the first due first."""
        ...

    async def record(
        self, tenant: str, read: Versioned[Campaign], campaign: Campaign, changes: Sequence[Change]
    ) -> Versioned[Campaign]:
        """Commit messages, their events and the campaign with its counts, all or nothing. ``Conflict`` if the
        campaign or a message is no longer as it was read, ``AlreadyExists`` if a new message is there already."""
        ...

    def events(self, after: str, tenant: str | None, *, experiments: bool = False) -> AsyncIterator[Events]:
        """The feed after a cursor, of one tenant or of all, live and without end; or only what is ``of_experiment``."""
        ...


class SegmentNotFound(Refusal):
    """Segmentation knows no such segment: the campaign cannot be carried out."""


class Audience(Protocol):
    """Who is in a segment; asked of segmentation."""

    async def members(self, tenant: str, segment_id: str, limit: int, token: str) -> Page[str]:
        """A page of customer ids. ``SegmentNotFound``; ``InvalidCursor`` if the token is no longer good;
        ``Unavailable``."""
        ...


class Customers(Protocol):
    """What is known about customers; asked of profiles."""

    async def get_many(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, Customer]:
        """Those of at most 1,000 customers that exist. ``Unavailable``."""
        ...


class Consents(Protocol):
    """What people allow; asked of profiles."""

    async def states(
        self, tenant: str, customer_ids: Sequence[str], purpose: str, channel: str
    ) -> dict[str, ConsentState]:
        """What holds at this moment for at most 1,000 customers. ``Unavailable``."""
        ...

    async def withdraw(self, leaving: Leaving) -> None:
        """Withdraw a consent, with the message as proof; nothing if the customer is gone. ``Unavailable``."""
        ...


class Unsubscribes(Protocol):
    """The keys of links, and wishes to leave that profiles has not heard of."""

    async def key(self, tenant: str) -> bytes:
        """The tenant's key, made when it is first needed."""
        ...

    async def known_key(self, tenant: str) -> bytes | None:
        """The tenant's key, if it has one."""
        ...

    async def add(self, leaving: Leaving) -> None:
        """Keep a wish."""
        ...

    async def due(self, now: datetime, limit: int) -> list[tuple[Leaving, int]]:
        """Wishes that are to be told, with their versions."""
        ...

    async def put_off(self, leaving: Leaving, version: int, due: datetime) -> None:
        """Tell it later; ``Conflict``."""
        ...

    async def settle(self, leaving: Leaving, version: int) -> None:
        """It was told; ``Conflict``."""
        ...


class Rendering(Protocol):
    """A content that was parsed."""

    def render(self, variables: Variables) -> Content:
        """What it says with these variables; ``RenderFailed``. Takes CPU time: call it in a thread."""
        ...


class Renderer(Protocol):
    """The template language."""

    def parse(self, content: Content) -> Rendering:
        """``TemplateInvalid``. Takes CPU time, up to some milliseconds."""
        ...


class MailRefused(Refusal):
    """The mail server refused this mail for good; the message is the server's words."""


class MailDeferred(Refusal):
    """The mail server refused this mail for the moment, or was lost while it had it."""


class MailServerUnavailable(Unavailable):
    """No connection to the mail server can be had."""


class Lane(Protocol):
    """The right to send one mail now."""

    async def send(self, mail: Mail) -> None:
        """Returns once the server has accepted the mail. ``MailRefused``, ``MailDeferred``,
        ``MailServerUnavailable``."""
        ...


class Mailer(Protocol):
    """The mail server."""

    @property
    def lanes_max(self) -> int:
        """How many mails are with the server at once, at most."""
        ...

    def lane(self) -> AbstractAsyncContextManager[Lane]:
        """Wait for a free connection and for the provider's rate."""
        ...
