"""Members of segments as files over HTTP."""

from collections.abc import AsyncIterator

import pytest
from tessera.segmentation.v1 import member_file_pb2 as pb

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


async def test_what_is_refused_has_a_status_of_its_own(client: Client, backend: Backend, keyring: Keyring) -> None:
    assert (await client.http.get("/v1/segments/s1/members")).status_code == 401
    headers = {"authorization": f"Bearer {keyring.mint()}"}
    assert (await client.http.get("/v1/segments/s1/members?format=xls", headers=headers)).status_code == 400
    backend.on(RPC, SegmentNotFound("s1"))
    missing = await client.http.get("/v1/segments/s1/members", headers=headers)
    assert (missing.status_code, missing.json()["extensions"]) == (404, {"code": "SEGMENT_NOT_FOUND"})
    without = {"authorization": f"Bearer {keyring.mint(scopes=['loyalty:admin'])}"}
    assert (await client.http.get("/v1/segments/s1/members", headers=without)).status_code == 403
