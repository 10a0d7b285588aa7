"""What an erasure finds besides customers and events: all names, dead letters, imports, groups; and its audit."""

import json
from typing import Any

import grpc
from tessera.profiles.v1 import erasure_pb2, suppression_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1 import transfer_pb2 as transfer
from tessera.profiles.v1.group_pb2 import AddGroupMembersRequest, GetGroupRequest
from tessera.profiles.v1.person_pb2 import PersonIdentifier

from tests.profiles.client import Client, identify, track
from tests.profiles.test_erasing import erase, removed, user

DEVICES = 230
"""More than are kept with a customer."""


async def test_every_name_of_a_person_is_suppressed_also_those_beyond_the_first(acme: Client) -> None:
    await acme.ingest(*(track(f"t{n}", "user-7", f"device-{n}") for n in range(DEVICES)))
    (accepted,) = (await erase(acme, user("user-7"))).erasures
    counts = await removed(acme, accepted.erasure_id)
    assert counts["identifier"] == DEVICES + 1
    late = await acme.ingest(*(track(f"x{n}", anonymous=f"device-{n}") for n in range(DEVICES)))
    assert {each.reason for each in late.rejections} == {"IDENTIFIER_SUPPRESSED"}
    assert len(late.rejections) == DEVICES


async def test_dead_letters_go_that_name_the_person_within_what_they_say(acme: Client) -> None:
    await acme.ingest(identify("i1", "user-7"), track("t8", "8"))
    nameless, other = track("d1", "visitor"), track("d2", "visitor")
    for letter, friend in ((nameless, "user-7"), (other, "somebody-8")):
        letter.name, letter.properties_json = "", json.dumps({"friends": [{"id": friend}], "quantity": 8})
    await acme.ingest(nameless, other)
    (accepted,) = (await erase(acme, user("user-7"), user("8"))).erasures[:1]
    assert (await removed(acme, accepted.erasure_id))["dead_letter"] == 1
    left = (await acme.call("ListDeadLetters", pb.ListDeadLettersRequest())).dead_letters
    assert [each.event.message_id for each in left] == ["d2"], "a quantity of 8 is not the customer 8"


async def _import(client: Client, content: bytes, **fields: Any) -> str:
    begin = transfer.CreateImportRequest(
        kind=transfer.IMPORT_KIND_CUSTOMERS, format=transfer.TABLE_FORMAT_CSV, **fields
    )
    import_id = str(getattr(await client.call("CreateImport", begin), "import").import_id)
    chunk = transfer.UploadImportChunkRequest(import_id=import_id, offset=0, data=content)
    await client.call("UploadImportChunk", chunk)
    return import_id


async def test_files_on_their_way_in_go_if_they_name_the_person(acme: Client) -> None:
    await acme.ingest(identify("i1", "7"))
    naming = await _import(acme, b"user_id,city\n7,Lyon\n8,Rome\n")
    mapped = await _import(
        acme, b"key,city\n7,Lyon\n", columns=[transfer.ColumnMapping(column="key", target="user_id")]
    )
    other = await _import(acme, b"user_id,children\n8,7\n")
    (accepted,) = (await erase(acme, user("7"))).erasures
    assert (await removed(acme, accepted.erasure_id))["import_file"] == 2
    sizes = {}
    for import_id in (naming, mapped, other):
        found = await acme.call("GetImport", transfer.GetImportRequest(import_id=import_id))
        sizes[import_id] = getattr(found, "import").received_bytes
    assert sizes == {naming: 0, mapped: 0, other: len(b"user_id,children\n8,7\n")}
    empty = await acme.refusal("StartImport", transfer.StartImportRequest(import_id=naming))
    assert empty == (grpc.StatusCode.FAILED_PRECONDITION, "IMPORT_EMPTY")


async def test_a_group_is_smaller_by_who_is_erased(acme: Client) -> None:
    await acme.ingest(identify("i1", "7"), identify("i2", "8"))
    ids = [(await acme.customer("user_id", each)).customer_id for each in ("7", "8")]
    await acme.call("AddGroupMembers", AddGroupMembersRequest(group_id="home", member_customer_ids=ids))
    (accepted,) = (await erase(acme, user("7"))).erasures
    assert (await removed(acme, accepted.erasure_id))["group_membership"] == 1
    group = (await acme.call("GetGroup", GetGroupRequest(group_id="home"))).group
    assert group.figures.member_count == 1
    more = AddGroupMembersRequest(group_id="home", member_customer_ids=ids[1:])
    await acme.call("AddGroupMembers", more)
    assert (await acme.call("GetGroup", GetGroupRequest(group_id="home"))).group.figures.member_count == 1


async def _suppressions(client: Client, **fields: Any) -> list[suppression_pb2.Suppression]:
    answer = await client.call("ListSuppressions", suppression_pb2.ListSuppressionsRequest(**fields))
    return list(answer.suppressions)


async def test_who_wanted_an_identifier_suppressed_and_lifted_is_known(acme: Client, rival: Client) -> None:
    await acme.ingest(track("t1", "7"))
    (accepted,) = (await erase(acme, user("7"), reason="letter of 3 May")).erasures
    await removed(acme, accepted.erasure_id)
    name = PersonIdentifier(type="email", value="spam@example.com")
    refuse = erasure_pb2.SuppressIdentifiersRequest(identifiers=[name], reason="spam trap")
    await acme.call("SuppressIdentifiers", refuse)
    by_hand, by_erasure = await _suppressions(acme)
    assert (by_hand.type, by_hand.suppressed_by, by_hand.reason) == ("email", "developer", "spam trap")
    assert (by_erasure.erasure_id, by_erasure.reason) == (accepted.erasure_id, "letter of 3 May")
    assert "spam@example.com" not in str(by_hand)
    assert not await _suppressions(rival)

    silent = suppression_pb2.LiftSuppressionsRequest(identifiers=[name])
    assert (await acme.refusal("LiftSuppressions", silent))[0] == grpc.StatusCode.INVALID_ARGUMENT
    lift = suppression_pb2.LiftSuppressionsRequest(
        suppression_ids=[by_erasure.suppression_id, "nothing"], identifiers=[name], reason="signed up again"
    )
    assert (await rival.call("LiftSuppressions", lift)).lifted_count == 0
    counts = [(await acme.call("LiftSuppressions", lift)).lifted_count for _ in range(2)]
    assert counts == [2, 0]
    assert not await _suppressions(acme)
    lifted = await _suppressions(acme, lifted=True)
    assert {(each.lifted_by, each.lift_reason) for each in lifted} == {("developer", "signed up again")}
    assert {each.reason for each in lifted} == {"letter of 3 May", "spam trap"}
    assert (await acme.ingest(track("t2", "7"))).recorded_count == 1
    again = await acme.call("SuppressIdentifiers", refuse)
    assert again.suppressed_count == 1
