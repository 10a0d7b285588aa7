"""By which a mutation is recognised."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """By which a mutation that is sent again is recognised, and who asks for it."""

    request_id: str
    fingerprint: str
    author: str = ""
