"""Members of segments and ledgers as files over HTTP."""

from collections.abc import AsyncIterator

import pytest
from tessera.loyalty.v1 import report_pb2
from tessera.segmentation.v1 import member_file_pb2 as pb
from tessera.segmentation.v1 import saved_segment_pb2

from services.segmentation.domain.segment import SegmentNotFound
from tests.conftest import Keyring
from tests.gateway.platform import Backend, Client

RPC = "segmentation.ExportMembers"


async def _file(request: pb.ExportMembersRequest) -> AsyncIterator[pb.ExportMembersResponse]:
    for content in (b"customer_id\n", b"ann\n", request.segment_id.encode()):
        yield pb.ExportMembersResponse(content=content)


@pytest.mark.parametrize(
    ("query", "media_type"), [("", "text/csv"), ("?format=parquet", "application/vnd.apache.parquet")]
)
async def test_the_file_is_passed_on_as_it_comes(
    client: Client, backend: Backend, keyring: Keyring, query: str, media_type: str
) -> None:
    backend.on(RPC, _file)  # type: ignore[arg-type]  # a feed answers with a generator
    headers = {"authorization": f"Bearer {keyring.mint()}"}
    response = await client.http.get(f"/v1/segments/s1/members{query}", headers=headers)
    assert (response.status_code, response.content) == (200, b"customer_id\nann\ns1")
    assert response.headers["content-type"].startswith(media_type)
    assert set(backend.tenants) == {"acme"}


async def test_columns_are_asked_for_by_parameters(client: Client, backend: Backend, keyring: Keyring) -> None:
    async def told(request: pb.ExportMembersRequest) -> AsyncIterator[pb.ExportMembersResponse]:
        names = ((each.trait, pb.MemberHash.Name(each.hash)) for each in request.columns)
        yield pb.ExportMembersResponse(content=str(list(names)).encode())

    backend.on(RPC, told)  # type: ignore[arg-type]  # a feed answers with a generator
    headers = {"authorization": f"Bearer {keyring.mint()}"}
    path = "/v1/segments/s1/members?column=city&column=email:sha256"
    response = await client.http.get(path, headers=headers)
    assert response.text == "[('city', 'MEMBER_HASH_UNSPECIFIED'), ('email', 'MEMBER_HASH_SHA256')]"
    assert (await client.http.get(f"{path}:md5", headers=headers)).status_code == 400


async def test_what_is_refused_has_a_status_of_its_own(client: Client, backend: Backend, keyring: Keyring) -> None:
    assert (await client.http.get("/v1/segments/s1/members")).status_code == 401
    headers = {"authorization": f"Bearer {keyring.mint()}"}
    assert (await client.http.get("/v1/segments/s1/members?format=xls", headers=headers)).status_code == 400
    backend.on(RPC, SegmentNotFound("s1"))
    missing = await client.http.get("/v1/segments/s1/members", headers=headers)
    assert (missing.status_code, missing.json()["extensions"]) == (404, {"code": "SEGMENT_NOT_FOUND"})
    without = {"authorization": f"Bearer {keyring.mint(scopes=['loyalty:admin'])}"}
    assert (await client.http.get("/v1/segments/s1/members", headers=without)).status_code == 403


async def _studied(
    request: saved_segment_pb2.ExportClustersRequest | saved_segment_pb2.ExportLookalikesRequest,
) -> AsyncIterator[saved_segment_pb2.ExportClustersResponse]:
    yield saved_segment_pb2.ExportClustersResponse(content=str(request).encode())


@pytest.mark.parametrize(
    ("path", "rpc", "asked"),
    [
        ("clusterings/newest/customers", "ExportClusters", b"format: FILE_FORMAT_CSV\n"),
        (
            "clusterings/k1/customers?format=parquet",
            "ExportClusters",
            b'clustering_id: "k1"\nformat: FILE_FORMAT_PARQUET\n',
        ),
        (
            "lookalikes/l1/customers?share=0.1",
            "ExportLookalikes",
            b'lookalike_id: "l1"\nshare: 0.1\nformat: FILE_FORMAT_CSV\n',
        ),
    ],
)
async def test_clusters_and_lookalikes_are_files_too(
    client: Client, backend: Backend, keyring: Keyring, path: str, rpc: str, asked: bytes
) -> None:
    backend.on(f"segmentation.{rpc}", _studied)  # type: ignore[arg-type]  # a feed answers with a generator
    headers = {"authorization": f"Bearer {keyring.mint()}"}
    response = await client.http.get(f"/v1/{path}", headers=headers)
    assert (response.status_code, response.content) == (200, asked)
    wrong = await client.http.get("/v1/lookalikes/l1/customers?share=many", headers=headers)
    assert (wrong.status_code, wrong.json()["message"]) == (400, "share must be a number")


async def _ledger(request: report_pb2.ExportLedgerRequest) -> AsyncIterator[report_pb2.ExportLedgerResponse]:
    told = f"{request.program_id} {request.format} {request.start_time.seconds} {request.HasField('end_time')}"
    yield report_pb2.ExportLedgerResponse(content=told.encode())


async def test_a_ledger_is_asked_for_by_its_period(client: Client, backend: Backend, keyring: Keyring) -> None:
    backend.on("loyalty.ExportLedger", _ledger)  # type: ignore[arg-type]  # a feed answers with a generator
    headers = {"authorization": f"Bearer {keyring.mint()}"}
    where = "/v1/programs/club/ledger"
    response = await client.http.get(f"{where}?format=parquet&start=1970-01-02T00:00:00Z", headers=headers)
    assert (response.status_code, response.content) == (200, b"club 2 86400 False")
    wrong = await client.http.get(f"{where}?start=yesterday", headers=headers)
    assert wrong.status_code == 400
    assert "start must be a time" in wrong.json()["message"]
