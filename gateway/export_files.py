"""Archives about a person over HTTP: what profiles streams is passed on as it comes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tessera.profiles.v1 import customer_export_pb2 as pb

from gateway.auth import authenticated
from gateway.backends import Backends
from gateway.file_responses import Files
from services.common.auth import Verifier


class ExportFileEndpoint:
    """``GET /v1/exports/{export_id}``."""

    def __init__(self, verifier: Verifier, backends: Backends, files: Files) -> None:
        self._verifier, self._backends, self._files = verifier, backends, files

    def routes(self) -> list[Route]:
        """Where it is found."""
        archive = self._files.endpoint("export", self.archive)
        return [Route("/v1/exports/{export_id}", archive, methods=["GET"])]

    async def archive(self, request: Request) -> Response:
        """The ZIP file."""
        context = await authenticated(request, self._verifier, self._backends)
        asked = pb.DownloadExportRequest(export_id=request.path_params["export_id"])
        call = self._backends.profiles.DownloadExport(asked, metadata=context.metadata)
        response = await self._files.sent(call, "data", "personal-data.zip", "application/zip")
        response.headers["cache-control"] = "no-store"
        return response
