"""What is tested of erasing, exporting, anonymising, suppressing, consents and sealing, on MongoDB as well."""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.profiles.client import Client
from tests.profiles.mongodb import MASTER_KEYS
from tests.profiles.test_anonymising import test_what_a_person_did_stays_under_a_pseudonym_and_nothing_else
from tests.profiles.test_consents import (
    test_statements_at_once_are_all_kept,
    test_what_people_say_holds_is_kept_with_its_proof_and_told_to_followers,
)
from tests.profiles.test_dead_letters import (
    test_a_corrected_event_is_recorded_and_its_dead_letter_is_gone,
    test_a_rejected_event_is_kept_as_it_came_with_its_reason,
    test_deleted_dead_letters_are_gone,
    test_equal_replays_at_once_record_once_and_answer_the_same,
)
from tests.profiles.test_erasing import (
    test_a_customer_who_is_several_is_erased_whole,
    test_dead_letters_that_could_not_be_read_go_if_they_name_the_person,
    test_events_that_race_with_an_erasure_are_gone_or_refused,
    test_everything_of_a_person_goes_and_the_receipt_says_what,
    test_identifiers_are_suppressed_without_erasing_and_for_one_tenant_alone,
    test_identifiers_of_the_erased_are_refused_and_kept_nowhere,
    test_many_are_erased_at_once_each_once_and_nobody_is_reported,
    test_the_receipt_is_complete_when_the_last_service_has_answered,
    test_who_may_return_comes_back_as_somebody_new,
)
from tests.profiles.test_erasing_traces import (
    test_a_group_is_smaller_by_who_is_erased,
    test_dead_letters_go_that_name_the_person_within_what_they_say,
    test_files_on_their_way_in_go_if_they_name_the_person,
    test_who_wanted_an_identifier_suppressed_and_lifted_is_known,
)

if TYPE_CHECKING:
    from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceAsyncStub

__all__ = [
    "test_a_corrected_event_is_recorded_and_its_dead_letter_is_gone",
    "test_a_customer_who_is_several_is_erased_whole",
    "test_a_group_is_smaller_by_who_is_erased",
    "test_a_rejected_event_is_kept_as_it_came_with_its_reason",
    "test_dead_letters_go_that_name_the_person_within_what_they_say",
    "test_dead_letters_that_could_not_be_read_go_if_they_name_the_person",
    "test_deleted_dead_letters_are_gone",
    "test_equal_replays_at_once_record_once_and_answer_the_same",
    "test_events_that_race_with_an_erasure_are_gone_or_refused",
    "test_everything_of_a_person_goes_and_the_receipt_says_what",
    "test_files_on_their_way_in_go_if_they_name_the_person",
    "test_identifiers_are_suppressed_without_erasing_and_for_one_tenant_alone",
    "test_identifiers_of_the_erased_are_refused_and_kept_nowhere",
    "test_many_are_erased_at_once_each_once_and_nobody_is_reported",
    "test_statements_at_once_are_all_kept",
    "test_the_receipt_is_complete_when_the_last_service_has_answered",
    "test_what_a_person_did_stays_under_a_pseudonym_and_nothing_else",
    "test_what_people_say_holds_is_kept_with_its_proof_and_told_to_followers",
    "test_who_may_return_comes_back_as_somebody_new",
    "test_who_wanted_an_identifier_suppressed_and_lifted_is_known",
]


@pytest.fixture
async def profiles(configure: Callable[..., Any], mongodb_url: str) -> "AsyncIterator[ProfilesServiceAsyncStub]":
    settings = configure(Settings, store_url=mongodb_url, master_keys=MASTER_KEYS)
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield ProfilesServiceStub(channel)


@pytest.fixture
def acme(profiles: "ProfilesServiceAsyncStub", keyring: Keyring) -> Client:
    """A tenant that no other test of the session knows."""
    return Client(profiles, keyring.header(f"acme{uuid.uuid4().hex[:8]}"))


@pytest.fixture
def rival(profiles: "ProfilesServiceAsyncStub", keyring: Keyring) -> Client:
    return Client(profiles, keyring.header(f"rival{uuid.uuid4().hex[:8]}"))
