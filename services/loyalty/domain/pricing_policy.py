"""Whether a tenant learns personal prices, by whose consent and for which segments."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.common.errors import FailedPrecondition, NotFound, ResourceExhausted
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref

HISTORY_DAYS = 400


class PricingNotEnabled(FailedPrecondition):
    """The tenant does not learn personal prices."""


class PriceModelNotFound(NotFound):
    """Nothing was estimated yet."""


class PricingConsentMissing(FailedPrecondition):
    """The person did not consent to what the policy asks for, or withdrew."""


class PriceSegmentNotFound(NotFound):
    """The segment is none of the policy's, or nobody who bought was in it."""


class PricingReportTooLarge(ResourceExhausted):
    """There are more quotes in the period than a report looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingPolicy:
    """What a tenant decided."""

    enabled: bool = False
    consent_purpose: str = ""
    segment_ids: tuple[str, ...] = ()
    history_days: int = HISTORY_DAYS
    set_time: int = 0
    generation: int = 0
    """Grows when what is kept has to be learnt anew: when it is switched on, or the purpose changes."""


PRICING_POLICIES = Kind("pricing_policies", PricingPolicy)
POLICY = Ref(PRICING_POLICIES, "policy")


@dataclass(frozen=True, slots=True)
class SetPricingPolicy:
    """Sets the policy."""

    policy: PricingPolicy

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(POLICY,))

    def apply(self, books: Books, now: int) -> PricingPolicy:
        before = books.record(POLICY) or PricingPolicy()
        anew = self.policy.enabled and (not before.enabled or before.consent_purpose != self.policy.consent_purpose)
        policy = replace(self.policy, set_time=now, generation=before.generation + anew)
        books.put_record(POLICY, policy)
        return policy


@dataclass(frozen=True, slots=True)
class PriceEstimation:
    """An estimation that was asked for."""

    job_id: str


@dataclass(frozen=True, slots=True)
class AskEstimation:
    """Asks for an estimation, by a job of that id."""

    job_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(POLICY,))

    def apply(self, books: Books, now: int) -> PriceEstimation:
        check_enabled(books.record(POLICY))
        return PriceEstimation(self.job_id)


def check_enabled(policy: PricingPolicy | None) -> PricingPolicy:
    """The policy; ``PricingNotEnabled``."""
    if policy is None or not policy.enabled:
        raise PricingNotEnabled("personal prices are not learnt; switch them on with SetPricingPolicy")
    return policy
