"""The members of a segment as a file over HTTP: what segmentation streams is passed on as it comes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tessera.segmentation.v1 import member_file_pb2 as pb

from gateway.auth import authenticated
from gateway.backends import Backends
from gateway.errors import RequestInvalid
from gateway.file_responses import Files
from services.common.auth import Verifier

FORMATS = {
    "csv": (pb.FILE_FORMAT_CSV, "text/csv; charset=utf-8"),
    "parquet": (pb.FILE_FORMAT_PARQUET, "application/vnd.apache.parquet"),
}


class MemberFileEndpoint:
    """``GET /v1/segments/{segment_id}/members``."""

    def __init__(self, verifier: Verifier, backends: Backends, files: Files) -> None:
        self._verifier, self._backends, self._files = verifier, backends, files

    def routes(self) -> list[Route]:
        """Where it is found."""
        members = self._files.endpoint("members", self.members)
        return [Route("/v1/segments/{segment_id}/members", members, methods=["GET"])]

    async def members(self, request: Request) -> Response:
        """The file."""
        context = await authenticated(request, self._verifier, self._backends)
        name = request.query_params.get("format", "csv")
        if name not in FORMATS:
            raise RequestInvalid(f"format must be one of {', '.join(FORMATS)}", field="format")
        written, media_type = FORMATS[name]
        segment_id = request.path_params["segment_id"]
        asked = pb.ExportMembersRequest(segment_id=segment_id, format=written)
        call = self._backends.segmentation.ExportMembers(asked, metadata=context.metadata)
        return await self._files.sent(call, "content", f"members.{name}", media_type)
