"""The composition root of crm: everything is wired here, and nowhere else."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import ClassVar

import grpc
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from tessera.crm.v1 import crm_service_pb2, crm_service_pb2_grpc
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.app import Exposed, Serving, background, every, serving
from services.common.channels import connect
from services.common.clock import system_clock
from services.common.erasure import ACKNOWLEDGEMENTS, Acknowledgements
from services.common.feed import CURSORS
from services.common.settings import Port, ServiceSettings, SettingsInvalid
from services.common.store import Store, open_store
from services.crm.adapters.clients import ProfilesConsents, ProfilesCustomers, SegmentationAudience
from services.crm.adapters.events import ProfilesFollower, profiles_stream
from services.crm.adapters.liquid import LiquidRenderer
from services.crm.adapters.people import MergedConsents, MergedCustomers, StoredPeople
from services.crm.adapters.smtp import SmtpLimits, SmtpMailer, SmtpServer
from services.crm.adapters.store import COLLECTIONS, StoredCampaigns, StoredMessages, StoredRuns, StoredTemplates
from services.crm.adapters.unsubscribes import UNSUBSCRIBE_COLLECTIONS, StoredUnsubscribes
from services.crm.domain import address
from services.crm.domain.campaign import Channel
from services.crm.handlers.delivery import Means, Policy
from services.crm.handlers.dispatch import Dispatcher
from services.crm.handlers.unsubscribe import tell_profiles
from services.crm.servicer import CrmServicer

UNSUBSCRIBE_SECONDS = 0.5


class Settings(ServiceSettings):
    """The environment of crm."""

    model_config = SettingsConfigDict(env_prefix="CRM_")
    service: ClassVar[str] = "crm"
    port: Port = 50056

    smtp_url: SecretStr | None = None
    """``smtp://host:port`` (STARTTLS where it is offered), ``smtps://host:port``; with ``user:password@`` STARTTLS is
    needed. Unset: campaigns cannot be started."""
    smtp_ca_file: Path | None = None
    """PEM of the authority that signed the mail server's certificate, if the system does not know it."""
    smtp_hello_name: str = Field(default_factory=socket.gethostname)
    """How this host introduces itself to the mail server."""
    smtp_connections: int = Field(8, ge=1, le=100)
    """How many mails are with the server at once, and so how many can be sent twice after a crash."""
    smtp_mails_per_connection: int = Field(200, ge=1)
    smtp_mails_per_second: float | None = Field(None, gt=0)
    """The rate that the provider allows; unset: no limit."""
    smtp_timeout_seconds: float = Field(30.0, gt=0)
    retry_seconds: float = Field(60.0, gt=0)
    """The first wait before a mail that was refused for the moment is tried again; it doubles, five times."""
    lease_seconds: float = Field(15.0, ge=0.5)
    """How long after the death of a process another goes on with its campaigns."""
    unsubscribe_url: str = ""
    """Where people reach the gateway's ``/v1/unsubscribe``, with https: mails get a link under it, for one click
    (RFC 8058). Unset: none."""
    unsubscribe_address: str = ""
    """For a ``List-Unsubscribe: <mailto:…>`` header; unset: none."""

    @field_validator("smtp_url")
    @classmethod
    def _check_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            SmtpServer.parse(url.get_secret_value())
        return url

    @field_validator("unsubscribe_url")
    @classmethod
    def _check_link(cls, text: str) -> str:
        if text and (not text.startswith("https://") or not text.isascii() or any(sign in text for sign in " <>,?#")):
            raise ValueError("must be an https URL without a query")
        return text

    @field_validator("unsubscribe_address")
    @classmethod
    def _check_address(cls, text: str) -> str:
        try:
            return address.parse(text) if text else ""
        except address.AddressInvalid as error:
            raise ValueError(error.message) from error


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[Serving]:
    """Serve until the block is left; then campaigns rest where they are, for the next process."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(settings, (*COLLECTIONS, *UNSUBSCRIBE_COLLECTIONS, CURSORS, ACKNOWLEDGEMENTS))
        )
        profiles = await stack.enter_async_context(connect(settings.profiles_addr, settings))
        segmentation = await stack.enter_async_context(connect(settings.segmentation_addr, settings))
        mailer = _mailer(settings)
        acknowledge = ProfilesServiceStub(profiles).AcknowledgeErasure
        acknowledgements = Acknowledgements(
            store, settings.service, acknowledge, erasure_pb2.AcknowledgeErasureRequest, system_clock
        )
        follower = ProfilesFollower(profiles_stream(profiles), store, acknowledgements)
        if mailer is not None:
            stack.push_async_callback(mailer.close)
        means = _means(store, SegmentationAudience(segmentation), profiles, mailer)
        policy = Policy(
            lease=timedelta(seconds=settings.lease_seconds),
            retry_backoff=timedelta(seconds=settings.retry_seconds),
            unsubscribe_address=settings.unsubscribe_address,
            unsubscribe_url=settings.unsubscribe_url,
        )
        dispatcher = Dispatcher(means, policy, settings.drain_seconds_max)
        exposed = Exposed(
            crm_service_pb2.DESCRIPTOR.services_by_name["CrmService"],
            crm_service_pb2_grpc.add_CrmServiceServicer_to_server,
            _servicer(means, dispatcher),
        )
        await stack.enter_async_context(background(dispatcher.dispatch(), "crm campaigns"))
        await stack.enter_async_context(background(follower.run(), "crm profiles"))
        assert means.unsubscribes is not None
        leaving = every(UNSUBSCRIBE_SECONDS, partial(tell_profiles, means.unsubscribes, means.consents, means.clock))
        await stack.enter_async_context(background(leaving, "crm unsubscribes"))
        await stack.enter_async_context(background(acknowledgements.run(), "crm acknowledgements"))
        yield await stack.enter_async_context(serving(settings, exposed))


def _mailer(settings: Settings) -> SmtpMailer | None:
    if settings.smtp_url is None:
        return None
    limits = SmtpLimits(
        connections=settings.smtp_connections,
        mails_per_connection=settings.smtp_mails_per_connection,
        mails_per_second=settings.smtp_mails_per_second,
        timeout_seconds=settings.smtp_timeout_seconds,
    )
    server = SmtpServer.parse(settings.smtp_url.get_secret_value())
    try:
        return SmtpMailer(server, limits, settings.smtp_hello_name, settings.smtp_ca_file)
    except OSError as error:  # an unreadable file, or (ssl.SSLError) one that holds no certificate
        raise SettingsInvalid(f"CRM_SMTP_CA_FILE: {settings.smtp_ca_file} cannot be used: {error}") from error


def _means(
    store: Store, audience: SegmentationAudience, profiles: grpc.aio.Channel, mailer: SmtpMailer | None
) -> Means:
    people = StoredPeople(store)
    return Means(
        templates=StoredTemplates(store),
        campaigns=StoredCampaigns(store),
        runs=StoredRuns(store),
        messages=StoredMessages(store),
        audience=audience,
        customers=MergedCustomers(ProfilesCustomers(profiles), people),
        consents=MergedConsents(ProfilesConsents(profiles), people),
        renderer=LiquidRenderer(),
        mailer=mailer,
        clock=system_clock,
        unsubscribes=StoredUnsubscribes(store),
    )


def _servicer(means: Means, dispatcher: Dispatcher) -> CrmServicer:
    assert means.unsubscribes is not None
    return CrmServicer(
        templates=means.templates,
        campaigns=means.campaigns,
        messages=means.messages,
        customers=means.customers,
        renderer=means.renderer,
        channels=frozenset({Channel.EMAIL} if means.mailer is not None else ()),
        clock=means.clock,
        dispatcher=dispatcher,
        unsubscribes=means.unsubscribes,
    )
