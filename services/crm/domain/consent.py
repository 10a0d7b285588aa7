"""Whether a message may go to a person: what the campaign demands, and what the person said."""

from enum import IntEnum

from services.crm.domain.message import CONSENT_MISSING, CONSENT_REFUSED

MARKETING = "marketing"


class ConsentPolicy(IntEnum):
    """What a campaign demands of consent; the numbers are the contract's."""

    NOT_REFUSED = 1
    GRANTED = 2
    NOT_NEEDED = 3


class ConsentState(IntEnum):
    """What holds for a person; the numbers are those of profiles' contract."""

    UNKNOWN = 0
    GRANTED = 1
    DENIED = 2
    WITHDRAWN = 3
    EXPIRED = 4


def objection(policy: ConsentPolicy, state: ConsentState) -> tuple[str, str] | None:
    """Why the message must not be sent, as reason and words; ``None`` if it may."""
    if policy is ConsentPolicy.NOT_NEEDED or state is ConsentState.GRANTED:
        return None
    if state is not ConsentState.UNKNOWN:
        return CONSENT_REFUSED, f"the person's consent is {state.name}"
    if policy is ConsentPolicy.GRANTED:
        return CONSENT_MISSING, "the person was never asked, and the campaign demands consent"
    return None
