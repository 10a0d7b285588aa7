"""Members of segments, clusters and lookalikes over HTTP: what segmentation streams is passed on as it comes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tessera.segmentation.v1 import member_file_pb2 as pb
from tessera.segmentation.v1 import saved_segment_pb2 as studies

from gateway.auth import authenticated
from gateway.backends import Backends
from gateway.errors import RequestInvalid
from gateway.file_responses import Files
from services.common.auth import Verifier

FORMATS = {
    "csv": (pb.FILE_FORMAT_CSV, "text/csv; charset=utf-8"),
    "parquet": (pb.FILE_FORMAT_PARQUET, "application/vnd.apache.parquet"),
}


HASHES: dict[str, pb.MemberHash.ValueType] = {
    "": pb.MEMBER_HASH_UNSPECIFIED,
    "sha256": pb.MEMBER_HASH_SHA256,
    "sha256_digits": pb.MEMBER_HASH_SHA256_DIGITS,
}


class MemberFileEndpoint:
    """``GET /v1/segments/{segment_id}/members``, ``GET /v1/clusterings/{clustering_id}/customers`` (``newest``: of the
    newest) and ``GET /v1/lookalikes/{lookalike_id}/customers``, of those with a ``share``."""

    def __init__(self, verifier: Verifier, backends: Backends, files: Files) -> None:
        self._verifier, self._backends, self._files = verifier, backends, files

    def routes(self) -> list[Route]:
        """Where they are found."""
        return [
            Route(path, self._files.endpoint(kind, answer), methods=["GET"])
            for path, kind, answer in (
                ("/v1/segments/{segment_id}/members", "members", self.members),
                ("/v1/clusterings/{clustering_id}/customers", "clusters", self.clusters),
                ("/v1/lookalikes/{lookalike_id}/customers", "lookalikes", self.lookalikes),
            )
        ]

    async def members(self, request: Request) -> Response:
        """Who is in a segment; with a parameter ``column`` for each trait that is wanted as well."""
        context = await authenticated(request, self._verifier, self._backends)
        name, written, media_type = _format(request)
        columns = [_column(told) for told in request.query_params.getlist("column")]
        segment_id = request.path_params["segment_id"]
        asked = pb.ExportMembersRequest(segment_id=segment_id, format=written, columns=columns)
        call = self._backends.segmentation.ExportMembers(asked, metadata=context.metadata)
        return await self._files.sent(call, "content", f"members.{name}", media_type)

    async def clusters(self, request: Request) -> Response:
        """Who is in which cluster."""
        context = await authenticated(request, self._verifier, self._backends)
        name, written, media_type = _format(request)
        clustering_id = request.path_params["clustering_id"]
        named = "" if clustering_id == "newest" else clustering_id
        asked = studies.ExportClustersRequest(clustering_id=named, format=written)
        call = self._backends.segmentation.ExportClusters(asked, metadata=context.metadata)
        return await self._files.sent(call, "content", f"clusters.{name}", media_type)

    async def lookalikes(self, request: Request) -> Response:
        """Who resembles a segment, the most alike first."""
        context = await authenticated(request, self._verifier, self._backends)
        name, written, media_type = _format(request)
        asked = studies.ExportLookalikesRequest(lookalike_id=request.path_params["lookalike_id"], format=written)
        if share := request.query_params.get("share"):
            asked.share = _number("share", share)
        call = self._backends.segmentation.ExportLookalikes(asked, metadata=context.metadata)
        return await self._files.sent(call, "content", f"lookalikes.{name}", media_type)


def _format(request: Request) -> tuple[str, pb.FileFormat.ValueType, str]:
    name = request.query_params.get("format", "csv")
    if name not in FORMATS:
        raise RequestInvalid(f"format must be one of {', '.join(FORMATS)}", field="format")
    return name, *FORMATS[name]


def _column(told: str) -> pb.MemberColumn:
    """``TRAIT``, or ``TRAIT:sha256`` or ``TRAIT:sha256_digits``."""
    trait, _, hashed = told.partition(":")
    if hashed not in HASHES:
        endings = ", ".join(f":{name}" for name in HASHES if name)
        raise RequestInvalid(f"column is a trait, which may be followed by one of {endings}", field="column")
    return pb.MemberColumn(trait=trait, hash=HASHES[hashed])


def _number(parameter: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise RequestInvalid(f"{parameter} must be a number", field=parameter) from error
