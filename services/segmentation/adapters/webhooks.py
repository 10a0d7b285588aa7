"""Webhooks: a POST, and what came of it."""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from services.common.clock import Clock
from services.segmentation.adapters.web import CheckedWeb
from services.segmentation.domain.delivery import SECOND, Outcome

USER_AGENT = "Tessera-Webhooks/1"


class WebCourier:
    """The port ``Courier`` over HTTP/1.1. What is answered is not kept."""

    def __init__(self, web: CheckedWeb, seconds_max: float, clock: Clock) -> None:
        self._web, self._seconds_max, self._clock = web, seconds_max, clock

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        sent = {"user-agent": USER_AGENT, "content-length": str(len(body)), **headers}
        answer = await self._web.exchange("POST", url, sent, body, seconds_max=self._seconds_max)
        if isinstance(answer, Outcome):
            return answer
        if 200 <= answer.status < 300:
            return Outcome(answer.status)
        wait = retry_after(answer.headers, self._clock)
        return Outcome(answer.status, f"the answer was {answer.status}", wait)


def retry_after(headers: Mapping[str, str], clock: Clock) -> int:
    """In microseconds; 0 if the other side does not say, or not in a form that can be read (RFC 9110, 10.2.3)."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return int(said[:9]) * SECOND
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return 0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(round((moment - clock()).total_seconds()), 0) * SECOND
