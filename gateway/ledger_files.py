"""A programme's ledger as a file over HTTP: what loyalty streams is passed on as it comes."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tessera.loyalty.v1 import report_pb2 as pb

from gateway.auth import authenticated
from gateway.backends import Backends
from gateway.errors import RequestInvalid
from gateway.file_responses import Files
from services.common.auth import Verifier

FORMATS = {
    "csv": (pb.LEDGER_FILE_FORMAT_CSV, "text/csv; charset=utf-8"),
    "parquet": (pb.LEDGER_FILE_FORMAT_PARQUET, "application/vnd.apache.parquet"),
}


class LedgerFileEndpoint:
    """``GET /v1/programs/{program_id}/ledger``, of entries from ``start`` to before ``end``."""

    def __init__(self, verifier: Verifier, backends: Backends, files: Files) -> None:
        self._verifier, self._backends, self._files = verifier, backends, files

    def routes(self) -> list[Route]:
        """Where it is found."""
        ledger = self._files.endpoint("ledger", self.ledger)
        return [Route("/v1/programs/{program_id}/ledger", ledger, methods=["GET"])]

    async def ledger(self, request: Request) -> Response:
        """The file."""
        context = await authenticated(request, self._verifier, self._backends)
        name = request.query_params.get("format", "csv")
        if name not in FORMATS:
            raise RequestInvalid(f"format must be one of {', '.join(FORMATS)}", field="format")
        written, media_type = FORMATS[name]
        asked = pb.ExportLedgerRequest(program_id=request.path_params["program_id"], format=written)
        for parameter, time in (("start", asked.start_time), ("end", asked.end_time)):
            if given := request.query_params.get(parameter):
                time.CopyFrom(_time(parameter, given))
        call = self._backends.loyalty.ExportLedger(asked, metadata=context.metadata)
        return await self._files.sent(call, "content", f"ledger.{name}", media_type)


def _time(parameter: str, text: str) -> Timestamp:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None or not 1970 <= read.year <= 9000:
        problem = f"{parameter} must be a time with its zone, for example 2026-01-31T00:00:00Z"
        raise RequestInvalid(problem, field=parameter)
    time = Timestamp()
    time.FromDatetime(read)
    return time
