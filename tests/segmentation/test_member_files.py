"""Members as files: what CSV and Parquet hold is what the segment holds, however many parts there are."""

import csv
import hashlib
import io
from collections.abc import Callable
from functools import partial

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.segmentation.v1 import customer_list_pb2 as lists
from tessera.segmentation.v1 import member_file_pb2 as pb

from services.common.clock import from_micros
from services.segmentation.adapters.member_files import clusters_file, csv_members, members_file
from services.segmentation.domain.customer_list import CsvInvalid, Named, named_in_csv
from services.segmentation.domain.member_column import MemberColumn, MemberColumnsInvalid, MemberHash, check_columns
from services.segmentation.ports import MemberWriter, RowWriter
from tests.segmentation.histories import NOW
from tests.segmentation.platform import Platform, identified, ordered
from tests.segmentation.test_service import ROMANS, SPENT
from tests.segmentation.test_webhooks import reason

parts = st.lists(st.lists(st.tuples(st.text(min_size=1, max_size=9), st.integers(0, NOW)), min_size=1, max_size=5))


def written(new: Callable[[], MemberWriter | RowWriter], members: list[list[tuple[str, int]]]) -> bytes:
    writer = new()
    return b"".join([*map(writer.write, members), writer.end()])


@settings(deadline=None, max_examples=50)
@given(parts.filter(lambda found: "\r" not in str(found)))
def test_both_files_hold_every_member_once_in_order(members: list[list[tuple[str, int]]]) -> None:
    rows = [(who, from_micros(since)) for part in members for who, since in part]
    table = pq.read_table(io.BytesIO(written(partial(members_file, parquet=True), members)))
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    header, *lines = csv.reader(io.StringIO(written(csv_members, members).decode(), newline=""))
    assert header == ["customer_id", "enter_time"]
    shown = [f"'{who}" if who[0] in "=+-@\t\r" else who for who, _ in rows]
    assert lines == [
        [who, since.isoformat().replace("+00:00", "Z")] for who, (_, since) in zip(shown, rows, strict=True)
    ]


def test_no_text_in_a_file_is_computed_by_the_program_that_opens_it() -> None:
    writer = clusters_file(parquet=False)
    text = writer.write([("=1+1", -1, "@home"), ("ann", 2, "plain")]).decode()
    assert text.splitlines() == ["customer_id,cluster,persona", "'=1+1,-1,'@home", "ann,2,plain"]


@pytest.mark.parametrize(
    ("hash", "value", "cell"),
    [
        (MemberHash.NONE, " Ann@Example.com ", " Ann@Example.com "),
        (MemberHash.NONE, 3.0, "3"),
        (MemberHash.NONE, 0.5, "0.5"),
        (MemberHash.NONE, True, "true"),
        (MemberHash.NONE, None, None),
        (MemberHash.SHA256, " Ann@Example.com ", hashlib.sha256(b"ann@example.com").hexdigest()),
        (MemberHash.SHA256, "  ", None),
        (MemberHash.SHA256, None, None),
        (MemberHash.SHA256_DIGITS, "+49 (170) 12-3", hashlib.sha256(b"49170123").hexdigest()),
        (MemberHash.SHA256_DIGITS, 49170123.0, hashlib.sha256(b"49170123").hexdigest()),
    ],
)
def test_a_trait_is_written_as_it_is_or_hashed(
    hash: MemberHash, value: str | float | bool | None, cell: str | None
) -> None:
    assert MemberColumn("trait", "name", hash).cell(value) == cell


def test_columns_that_cannot_be_told_apart_are_refused() -> None:
    check_columns([MemberColumn("email", "email"), MemberColumn("email", "email_sha256", MemberHash.SHA256)])
    for names in (("email", "email"), ("customer_id",), ("time",), ("two words",), ("",)):
        with pytest.raises(MemberColumnsInvalid):
            check_columns([MemberColumn("email", name) for name in names])


async def test_files_hold_the_traits_that_are_asked_for(platform: Platform) -> None:
    await platform.send(
        identified("ann", city="Rome", email="Ann@Example.com", address={"zip": "00118"}, visits=3),
        identified("bob", city="Rome"),
    )
    await platform.send(identified("ann", visits=4.5))
    segment = await platform.create("romans", ROMANS)
    await platform.refresh(segment.segment_id)
    columns = [
        pb.MemberColumn(trait="email", hash=pb.MEMBER_HASH_SHA256),
        pb.MemberColumn(trait="address.zip", name="zip"),
        pb.MemberColumn(trait="visits"),
    ]

    async def rows(*columns: pb.MemberColumn) -> dict[str, dict[str, str]]:
        request = pb.ExportMembersRequest(segment_id=segment.segment_id, format=pb.FILE_FORMAT_CSV, columns=columns)
        call = platform.segmentation.ExportMembers(request, metadata=platform.metadata)
        text = b"".join([part.content async for part in call]).decode()
        return {row["customer_id"]: row for row in csv.DictReader(io.StringIO(text))}

    found = await rows(*columns)
    ann, bob = await platform.customer_id("ann"), await platform.customer_id("bob")
    told = {who: [row[name] for name in ("email", "zip", "visits")] for who, row in found.items()}
    assert told == {ann: [hashlib.sha256(b"ann@example.com").hexdigest(), "00118", "4.5"], bob: ["", "", ""]}
    assert await reason(rows(columns[0], columns[0])) == "MEMBER_COLUMNS_INVALID"


async def test_members_are_streamed_as_a_file_and_lists_are_filled_from_one(platform: Platform) -> None:
    stub, metadata = platform.segmentation, platform.metadata
    await platform.send(ordered("ann", 1, 150), ordered("bob", 1, 250))
    segment = await platform.create("spent", SPENT)
    await platform.refresh(segment.segment_id)
    call = stub.ExportMembers(
        pb.ExportMembersRequest(segment_id=segment.segment_id, format=pb.FILE_FORMAT_CSV), metadata=metadata
    )
    text = b"".join([part.content async for part in call]).decode()
    ann, bob = await platform.customer_id("ann"), await platform.customer_id("bob")
    assert [row["customer_id"] for row in csv.DictReader(io.StringIO(text))] == sorted([ann, bob])

    made = await stub.CreateCustomerList(lists.CreateCustomerListRequest(name="vips"), metadata=metadata)
    change = lists.ChangeCustomerListRequest(
        list_id=made.list.list_id,
        csv="note,user_id\r\nfirst,ann\r\nwho,nobody\r\n",
        identifiers=[lists.ListIdentifier(type="user_id", value="bob")],
    )
    changed = await stub.ChangeCustomerList(change, metadata=metadata)
    assert (changed.changed_count, changed.list.member_count) == (2, 2)
    assert [(each.index, each.value) for each in changed.unknown] == [(2, "nobody")]
    request = lists.ListCustomerListMembersRequest(list_id=made.list.list_id)
    found = await stub.ListCustomerListMembers(request, metadata=metadata)
    assert [each.customer_id for each in found.members] == sorted([ann, bob])


def test_a_csv_file_says_who_is_meant_by_the_name_of_a_column() -> None:
    assert named_in_csv("\ufeffName, Email\n Ann,a@x\n\nBob, b@x \n") == [Named("email", "a@x"), Named("email", "b@x")]
    assert named_in_csv("") == []


@pytest.mark.parametrize(
    ("text", "line"), [("name\nann", 1), ("user_id\nann\n \n", 3), ('user_id\n"ann', 2), ("a,user_id\nann", 2)]
)
def test_a_csv_file_that_says_nobody_is_refused_with_the_line(text: str, line: int) -> None:
    with pytest.raises(CsvInvalid) as refused:
        named_in_csv(text)
    assert refused.value.metadata == {"line": str(line)}
