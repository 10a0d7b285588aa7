"""gRPC in, use case, gRPC out: one class for each topic, joined here."""

from dataclasses import dataclass

from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceServicer

from services.common.clock import Clock
from services.profiles.handlers.computed_traits import Defining
from services.profiles.handlers.customer_exports import Exporting
from services.profiles.handlers.erasures import Means
from services.profiles.handlers.groups import Grouping
from services.profiles.handlers.imports import Importing
from services.profiles.handlers.merging import MergeStore
from services.profiles.handlers.recording import Books, Recorder
from services.profiles.ports import (
    ConsentBook,
    DeadLetters,
    Erasures,
    EventSchemas,
    Forgetting,
    Groups,
    IdentityBook,
    Merges,
    Profiles,
    Suppressions,
    WriteKeys,
)
from services.profiles.ports.predictive_traits import PredictiveBook
from services.profiles.ports.transfer import NewTable
from services.profiles.servicer.computed_traits import ComputedTraitRpcs
from services.profiles.servicer.consents import ConsentRpcs
from services.profiles.servicer.customer_exports import CustomerExportRpcs
from services.profiles.servicer.customers import CustomerRpcs
from services.profiles.servicer.dead_letters import DeadLetterRpcs
from services.profiles.servicer.erasures import ErasureRpcs
from services.profiles.servicer.event_schemas import EventSchemaRpcs
from services.profiles.servicer.feed import FeedRpcs
from services.profiles.servicer.groups import GroupRpcs
from services.profiles.servicer.identity import IdentityRpcs
from services.profiles.servicer.ingest import IngestRpcs
from services.profiles.servicer.merges import MergeRpcs
from services.profiles.servicer.messages import new_id, new_ordered_id
from services.profiles.servicer.suppressions import SuppressionRpcs
from services.profiles.servicer.tail import Feed
from services.profiles.servicer.transfer import TransferRpcs
from services.profiles.servicer.write_keys import WriteKeyRpcs


@dataclass(frozen=True, slots=True)
class Ports:
    """What the use cases need from outside."""

    profiles: Profiles
    dead_letters: DeadLetters
    write_keys: WriteKeys
    erasures: Erasures
    event_schemas: EventSchemas
    consents: ConsentBook
    merges: Merges
    defining: Defining
    identity: IdentityBook
    groups: Groups
    predictive: PredictiveBook
    importing: Importing
    new_table: NewTable
    suppressions: Suppressions
    forgetting: Forgetting
    feed_tail_bytes_max: int


class ProfilesServicer(
    IngestRpcs,
    CustomerRpcs,
    MergeRpcs,
    IdentityRpcs,
    GroupRpcs,
    DeadLetterRpcs,
    WriteKeyRpcs,
    FeedRpcs,
    ConsentRpcs,
    ErasureRpcs,
    CustomerExportRpcs,
    SuppressionRpcs,
    EventSchemaRpcs,
    ComputedTraitRpcs,
    TransferRpcs,
    ProfilesServiceServicer,
):
    """Answers ``tessera.profiles.v1.ProfilesService``."""

    def __init__(self, ports: Ports, clock: Clock, erasing: Means, exporting: Exporting) -> None:
        self._exporting = exporting
        self._erasing, self._suppressions = erasing, ports.suppressions
        self._profiles, self._dead_letters, self._write_keys = ports.profiles, ports.dead_letters, ports.write_keys
        self._erasures, self._consents = ports.erasures, ports.consents
        self._schemas = ports.event_schemas
        self._feed = Feed(ports.profiles, ports.feed_tail_bytes_max)
        self._clock, self._predictive = clock, ports.predictive
        self._identity = ports.identity
        self._merge_store = MergeStore(ports.profiles, ports.merges, clock, new_id)
        self._defining, self._importing, self._new_table = ports.defining, ports.importing, ports.new_table
        computed = ports.defining.computing.computed
        self._grouping = Grouping(ports.profiles, ports.groups, clock)
        books = Books(ports.profiles, ports.consents, computed, ports.identity, ports.groups, ports.suppressions)
        self._recorder = Recorder(books, new_ordered_id)

    @property
    def recorder(self) -> Recorder:
        """What records events."""
        return self._recorder
