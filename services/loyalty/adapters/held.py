"""Members as this process last knew them, so that the writer does not read again what it wrote a moment ago.

What is held is an assumption. A commit proves it where it writes the member, by the version; the draft reads again
what it did not write (``TenantDraft.stands``). Versions begin anew where a member is erased and comes back: each
erasure moves the tenant's count of them, and what was held under another count is not used.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from services.loyalty.domain.books import Key
from services.loyalty.domain.member import Member

COST_MAX = 300_000
"""Of all that is held, about 100 bytes each: a member costs 20, and one for each lot and day."""
_MEMBER_COST = 20


class Held(NamedTuple):
    """A member, the version of its document, and the tenant's count of erasures when it was known to be so."""

    member: Member
    version: int
    erasures: int


class HeldMembers:
    """The members that were used last, of all tenants; owned by the one writer."""

    def __init__(self, cost_max: int = COST_MAX) -> None:
        self._cost_max, self._cost = cost_max, 0
        self._held: OrderedDict[tuple[str, Key], Held] = OrderedDict()

    def get(self, tenant: str, pair: Key, erasures: int) -> Held | None:
        """The member as it was, if it is held and nobody was erased since."""
        held = self._held.get((tenant, pair))
        if held is None or held.erasures != erasures:
            return None
        self._held.move_to_end((tenant, pair))
        return held

    def keep(self, tenant: str, pair: Key, held: Held) -> None:
        """Hold what is certain now: it was committed, or read."""
        self._drop(tenant, pair)
        self._held[tenant, pair] = held
        self._cost += _cost(held.member)
        while self._cost > self._cost_max:
            _, oldest = self._held.popitem(last=False)
            self._cost -= _cost(oldest.member)

    def drop(self, tenant: str, pairs: Iterable[Key]) -> None:
        """Hold these no longer: they are not certain any more."""
        for pair in pairs:
            self._drop(tenant, pair)

    def _drop(self, tenant: str, pair: Key) -> None:
        held = self._held.pop((tenant, pair), None)
        if held:
            self._cost -= _cost(held.member)


def _cost(member: Member) -> int:
    return (
        _MEMBER_COST
        + len(member.lots)
        + len(member.qualified)
        + len(member.pending)
        + len(member.tier_history)
        + 20 * len(member.parts)
    )
