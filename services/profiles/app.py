"""The composition root of profiles: everything is wired here, and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from tessera.profiles.v1 import profiles_service_pb2, profiles_service_pb2_grpc

from services.common.app import Exposed, Serving, background, every, serving
from services.common.channels import connect
from services.common.clock import Clock, system_clock, to_micros
from services.common.idempotency import REQUESTS
from services.common.jobs import COLLECTIONS as JOBS
from services.common.jobs import Jobs
from services.common.sealing import MasterKey, make_master_key, read_master_keys
from services.common.settings import Port, ServiceSettings, SettingsInvalid
from services.common.store import open_store
from services.profiles.adapters.archives import TemporaryArchives
from services.profiles.adapters.clients import ServicesPersonalData
from services.profiles.adapters.computed_traits import StoredComputedTraits
from services.profiles.adapters.consents import CONSENT_COLLECTIONS, StoredConsents
from services.profiles.adapters.customer_exports import EXPORT_COLLECTIONS, StoredCustomerExports
from services.profiles.adapters.customer_keys import CONTENT_KEYS, ContentKeys, CustomerKeys
from services.profiles.adapters.dead_letters import DEAD_LETTER_COLLECTIONS, StoredDeadLetters
from services.profiles.adapters.erasures import ERASURE_COLLECTIONS, StoredErasures
from services.profiles.adapters.event_schemas import EVENT_SCHEMA_VERSIONS, EVENT_SCHEMAS, StoredEventSchemas
from services.profiles.adapters.events import PredictionFollower, predictions_stream
from services.profiles.adapters.forgetting import StoredForgetting
from services.profiles.adapters.groups import StoredGroups
from services.profiles.adapters.identity_settings import IDENTITY_SETTINGS, StoredIdentitySettings
from services.profiles.adapters.imports import IMPORT_COLLECTIONS, StoredImports
from services.profiles.adapters.keys import TENANT_KEYS, TenantKeys
from services.profiles.adapters.merges import StoredMerges
from services.profiles.adapters.predictive_traits import PREDICTIVE_COLLECTIONS, StoredPredictiveTraits
from services.profiles.adapters.store import COLLECTIONS, StoredProfiles
from services.profiles.adapters.suppressions import SUPPRESSION_COLLECTIONS, StoredSuppressions
from services.profiles.adapters.tables import TableWriter
from services.profiles.adapters.write_keys import WRITE_KEY_HASHES, WRITE_KEYS, StoredWriteKeys
from services.profiles.handlers.computed_traits import Defining, resume_backfills, resume_computing
from services.profiles.handlers.computing import Computing, keep_time
from services.profiles.handlers.consents import expire_consents
from services.profiles.handlers.customer_exports import Exporting, carry_out_exports
from services.profiles.handlers.erasures import AT_ONCE, Means, carry_out_erasures
from services.profiles.handlers.imports import Importing, resume_imports
from services.profiles.handlers.personal_data import Holdings
from services.profiles.ports.transfer import Imports
from services.profiles.servicer import Ports, ProfilesServicer
from services.profiles.servicer.messages import new_id

ERASURE_SECONDS = EXPORT_SECONDS = 0.5
IMPORT_SECONDS = 60.0
SEAL_SECONDS = 10.0
EXPIRY_SECONDS = 1.0
"""How late followers may hear of a consent that ran out. Answers are never late: they compare times."""


KEPT = (
    *COLLECTIONS,
    *DEAD_LETTER_COLLECTIONS,
    CONTENT_KEYS,
    WRITE_KEYS,
    WRITE_KEY_HASHES,
    EVENT_SCHEMAS,
    EVENT_SCHEMA_VERSIONS,
    IDENTITY_SETTINGS,
    *JOBS,
    *ERASURE_COLLECTIONS,
    *CONSENT_COLLECTIONS,
    *IMPORT_COLLECTIONS,
    *EXPORT_COLLECTIONS,
    *SUPPRESSION_COLLECTIONS,
    *PREDICTIVE_COLLECTIONS,
    TENANT_KEYS,
    REQUESTS,
)
"""Everything that profiles stores."""


class Settings(ServiceSettings):
    """The environment of profiles."""

    model_config = SettingsConfigDict(env_prefix="PROFILES_")
    service: ClassVar[str] = "profiles"
    port: Port = 50051
    dead_letters_max: int = Field(10_000, ge=1)
    """How many rejected events of a tenant are kept; past it the oldest go."""
    computed_traits_reread_seconds: float = Field(2.0, ge=0)
    """How long a server may not know of a computed trait that another one was told of."""
    feed_tail_bytes_max: int = Field(32 << 20, ge=0)
    """How much of the newest part of the feed is kept in memory, encoded, for all who follow it; 0 for nothing."""
    import_bytes_max: int = Field(1 << 30, ge=1)
    """How large a file of customers or events may be."""
    import_keep_seconds: int = Field(30 * 24 * 60 * 60, ge=1)
    """How long an import is kept, its file and its wrong rows too."""
    erasure_services: tuple[str, ...] = ("segmentation", "recommendation", "forecasting", "loyalty", "crm")
    """Who has to acknowledge an erasure before its receipt is complete, and is asked for exports; a JSON list."""
    export_bytes_max: int = Field(1 << 29, ge=1)
    """How much an archive about a person may hold, before it is compressed."""
    export_keep_seconds: int = Field(7 * 24 * 60 * 60, ge=1)
    """How long an archive about a person can be downloaded."""
    export_patience_seconds: int = Field(24 * 60 * 60, ge=1)
    """How long an export of a person waits for services that do not answer."""
    export_lease_seconds: float = Field(15.0, gt=0)
    """How long after a process died another takes up the exports that it was at."""
    master_keys: SecretStr | None = None
    """The keys that wrap the tenants' keys: of 32 bytes each, in base64, the one in use first, a space between. Unset
    with the embedded store: a file beside the data, made when it is first needed."""


@asynccontextmanager
async def serve(settings: Settings, clock: Clock = system_clock) -> AsyncIterator[Serving]:
    """Serve until the block is left."""
    async with (
        open_store(settings, KEPT) as store,
        _others(settings) as others,
        connect(settings.forecasting_addr, settings) as forecasting,
    ):
        tenant_keys = TenantKeys(store, _master_keys(settings))
        customer_keys, content_keys = CustomerKeys(store, tenant_keys), ContentKeys(store, tenant_keys)
        profiles, jobs = StoredProfiles(store, customer_keys), Jobs(store, clock)
        reread = settings.computed_traits_reread_seconds
        computing = Computing(profiles, StoredComputedTraits(store, customer_keys, reread), clock)
        event_schemas, predictive = StoredEventSchemas(store), StoredPredictiveTraits(store, customer_keys)
        imports = StoredImports(store, content_keys, settings.import_keep_seconds)
        importing = Importing(imports, event_schemas, computing, jobs, settings.import_bytes_max)
        dead_letters = StoredDeadLetters(store, content_keys, settings.dead_letters_max)
        ports = Ports(
            profiles=profiles,
            dead_letters=dead_letters,
            write_keys=StoredWriteKeys(store),
            erasures=StoredErasures(store),
            event_schemas=event_schemas,
            consents=StoredConsents(store, customer_keys),
            merges=StoredMerges(store, customer_keys),
            defining=Defining(computing, jobs),
            identity=StoredIdentitySettings(store),
            groups=StoredGroups(store),
            predictive=predictive,
            importing=importing,
            new_table=TableWriter,
            suppressions=StoredSuppressions(store, tenant_keys),
            forgetting=StoredForgetting(store, customer_keys, content_keys, imports, dead_letters),
            feed_tail_bytes_max=settings.feed_tail_bytes_max,
        )
        erasing = _erasing(settings, ports, clock)
        exporting = _exporting(settings, ports, StoredCustomerExports(store, content_keys), others, clock)
        servicer = ProfilesServicer(ports, clock, erasing, exporting)
        exposed = Exposed(
            profiles_service_pb2.DESCRIPTOR.services_by_name["ProfilesService"],
            profiles_service_pb2_grpc.add_ProfilesServiceServicer_to_server,
            servicer,
        )
        resume_computing(ports.defining)
        resume_imports(importing, servicer.recorder)
        await jobs.recover(alone=not settings.store_url)
        await resume_backfills(ports.defining)
        predicted = PredictionFollower(predictions_stream(forecasting), predictive, clock)
        expiry = every(EXPIRY_SECONDS, partial(_expire, ports, clock))
        erasures = every(ERASURE_SECONDS, partial(_erase, erasing))
        imported = every(IMPORT_SECONDS, partial(_forget_imports, importing.imports, clock))
        exports = every(EXPORT_SECONDS, partial(carry_out_exports, exporting))
        try:
            async with (
                background(expiry, "consents that run out"),
                background(erasures, "erasures"),
                background(exports, "exports of people"),
                background(imported, "imports that are old"),
                background(every(SEAL_SECONDS, profiles.identities.seal_old), "identifiers in plain"),
                background(keep_time(computing), "computed traits"),
                background(predicted.run(), "predictive traits"),
                serving(settings, exposed) as up,
            ):
                yield up
        finally:
            await jobs.close()


def _erasing(settings: Settings, ports: Ports, clock: Clock) -> Means:
    return Means(
        ports.profiles,
        ports.erasures,
        ports.suppressions,
        ports.forgetting,
        clock,
        new_id,
        settings.erasure_services,
    )


def _exporting(
    settings: Settings, ports: Ports, exports: StoredCustomerExports, others: ServicesPersonalData, clock: Clock
) -> Exporting:
    computing = ports.defining.computing
    holdings = Holdings(
        ports.profiles,
        ports.consents,
        ports.merges,
        ports.groups,
        ports.dead_letters,
        computing,
        ports.predictive,
        clock,
    )
    return Exporting(
        exports,
        others,
        holdings,
        TemporaryArchives(settings.export_bytes_max),
        clock,
        settings.export_patience_seconds,
        settings.export_keep_seconds,
        settings.export_lease_seconds,
    )


@asynccontextmanager
async def _others(settings: Settings) -> AsyncIterator[ServicesPersonalData]:
    """Those that hold something about people, as far as it is known how to ask them."""
    addresses = {
        "crm": settings.crm_addr,
        "forecasting": settings.forecasting_addr,
        "loyalty": settings.loyalty_addr,
        "recommendation": settings.recommendation_addr,
        "segmentation": settings.segmentation_addr,
    }
    asked = {name: address for name, address in addresses.items() if name in settings.erasure_services}
    async with AsyncExitStack() as stack:
        channels = {name: await stack.enter_async_context(connect(at, settings)) for name, at in asked.items()}
        yield ServicesPersonalData(channels)


async def _expire(ports: Ports, clock: Clock) -> None:
    while await expire_consents(ports.profiles, ports.consents, clock, new_id):
        pass


async def _forget_imports(imports: Imports, clock: Clock) -> None:
    while await imports.forget_old(to_micros(clock()), AT_ONCE) == AT_ONCE:
        pass


async def _erase(erasing: Means) -> None:
    while await carry_out_erasures(erasing) == AT_ONCE:
        pass


def _master_keys(settings: Settings) -> tuple[MasterKey, ...]:
    if settings.master_keys is not None:
        return read_master_keys(settings.master_keys.get_secret_value(), "PROFILES_MASTER_KEYS")
    if settings.store_url:
        raise SettingsInvalid("PROFILES_MASTER_KEYS is needed where STORE_URL is set: every process needs the same")
    beside = settings.data_dir / "profiles_master_key"
    make_master_key(beside)
    return read_master_keys(beside.read_text("ascii"), str(beside))
