"""The running check: a little of each tenant's ledger now and then, round after round."""

from dataclasses import dataclass, replace

from services.loyalty.domain.check import Audit
from services.loyalty.domain.records import Kind, Ref


@dataclass(frozen=True, slots=True)
class CheckRound:
    """What a round through all members has found; ``time`` is when it ended, 0 while it goes on."""

    time: int = 0
    members: int = 0
    entries: int = 0
    violations: int = 0
    first: str = ""
    """The first violation, in words."""

    def plus(self, audit: Audit) -> "CheckRound":
        """With some members more."""
        found = audit.violations
        words = [f"{each.invariant} of {each.member_id} in {each.program_id}: {each.message}" for each in found[:1]]
        return CheckRound(
            members=self.members + audit.members,
            entries=self.entries + audit.entries,
            violations=self.violations + len(found),
            first=self.first or "".join(words),
        )


@dataclass(frozen=True, slots=True)
class CheckState:
    """How far the round has come, and what the last whole one has found."""

    after: str = ""
    """The page that comes next."""
    going: CheckRound = CheckRound()
    last: CheckRound = CheckRound()

    def advanced(self, audit: Audit, after: str, now: int) -> "CheckState":
        """After a page was checked; with the last one, the round is over."""
        going = self.going.plus(audit)
        if after:
            return CheckState(after, going, self.last)
        return CheckState("", CheckRound(), replace(going, time=now))


RUNNING_CHECKS = Kind("running_checks", CheckState)
RUNNING_CHECK = Ref(RUNNING_CHECKS, "members")
"""Where a tenant's is kept."""
