"""A reward: what points can buy, and how many are left."""

from dataclasses import dataclass, replace

from services.common.errors import InvalidArgument
from services.common.rules.condition import Condition, check_condition
from services.loyalty.domain.errors import OutOfStock

ALWAYS = 2**63 - 1


class RewardTermsInvalid(InvalidArgument):
    """Terms that contradict themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTerms:
    """Who may have a reward, when and how often; 0 is without limit. ``period`` is in microseconds."""

    start_time: int = 0
    end_time: int = ALWAYS
    tier_ids: tuple[str, ...] = ()
    condition: Condition | None = None
    member_limit: int = 0
    period_limit: int = 0
    period: int = 0
    coupon_campaign_id: str = ""

    @property
    def limited(self) -> bool:
        """Whether it counts what one member takes."""
        return bool(self.member_limit or self.period_limit)


NO_TERMS = RewardTerms()


def check_terms_of(terms: RewardTerms) -> None:
    """``RewardTermsInvalid``, ``RuleInvalid`` or ``RuleUnsupported`` if they are wrong."""
    if terms.start_time >= terms.end_time:
        raise RewardTermsInvalid("a reward ends after it starts", field="terms.end_time")
    if bool(terms.period_limit) != bool(terms.period):
        raise RewardTermsInvalid("a limit by period needs the period, and only it does", field="terms.period")
    check_condition(terms.condition, "terms.condition")


@dataclass(frozen=True, slots=True)
class Reward:
    """Something that points can buy. ``stock`` is how many there were at first, ``None`` without limit."""

    program_id: str
    id: str
    name: str
    cost: int
    stock: int | None
    redeemed: int
    create_time: int
    terms: RewardTerms = NO_TERMS

    @property
    def left(self) -> int | None:
        """How many are left; ``None`` without limit."""
        return None if self.stock is None else self.stock - self.redeemed

    def redeem(self) -> "Reward":
        """The reward with one less in stock; ``OutOfStock`` if none are left."""
        if self.left == 0:
            raise OutOfStock(f"all {self.stock} of reward {self.id} are redeemed", reward_id=self.id)
        return replace(self, redeemed=self.redeemed + 1)

    def give_back(self) -> "Reward":
        """The reward with one more in stock: a redemption was ended."""
        return replace(self, redeemed=self.redeemed - 1)
