"""Why loyalty refuses a request, in the order of precedence that the contract promises.

REQUEST_ID_REUSED (services.common.errors) comes before all of these, FIELD_INVALID before that.
"""

from services.common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)


class TiersInvalid(InvalidArgument):
    """Tiers do not ascend, or two share an id."""


class TierPolicyInvalid(InvalidArgument):
    """The parts of a tier policy do not go together."""


class TimeZoneInvalid(InvalidArgument):
    """A time zone that the IANA database does not have."""


class EarningRuleInvalid(InvalidArgument):
    """An earning rule, or a limit, contradicts itself."""


class EventTimeInvalid(InvalidArgument):
    """A time that lies in the future, or before 1970."""


class PendingRuleInvalid(InvalidArgument):
    """A pending rule contradicts itself."""


class ValidityInvalid(InvalidArgument):
    """A validity cannot be reckoned, or there are two."""


class SpendingPolicyInvalid(InvalidArgument):
    """A limit of a spending policy contradicts itself."""


class TransferInvalid(InvalidArgument):
    """A transfer to oneself."""


class ProgramNotFound(NotFound):
    """There is no such programme."""


class ProgramExists(AlreadyExists):
    """The id of the new programme is taken."""


class RewardExists(AlreadyExists):
    """The id of the new reward is taken in its programme."""


class EarningRuleExists(AlreadyExists):
    """The id of the new earning rule is taken in its programme."""


class ActivityExists(AlreadyExists):
    """The order or event has earned for another member."""


class EarningRuleLimitReached(ResourceExhausted):
    """The programme has as many earning rules as it may."""


class ProgramLimitReached(ResourceExhausted):
    """The tenant has as many programmes as it may."""


class RewardNotFound(NotFound):
    """There is no such reward in the programme."""


class EarningRuleNotFound(NotFound):
    """There is no such earning rule in the programme."""


class OrderNotFound(NotFound):
    """The order has earned nothing in the programme, or has not been seen."""


class PendingNotFound(NotFound):
    """These points were never pending in the programme, or are not any more."""


class MemberNotFound(NotFound):
    """The customer has never earned in the programme."""


class LotNotFound(NotFound):
    """The member has no lot of which a request speaks."""


class MemberBlocked(FailedPrecondition):
    """The member is blocked from this. Metadata says from what."""


class MemberNotBlocked(FailedPrecondition):
    """The member is not blocked."""


class WalletNotRedeemable(FailedPrecondition):
    """What is in the wallet cannot be spent or transferred."""


class AccountRoleInsufficient(FailedPrecondition):
    """The member's role in the shared account does not allow this. Metadata has the role."""


class TransfersNotAllowed(FailedPrecondition):
    """The programme's members may not transfer points."""


class TransferTooSmall(FailedPrecondition):
    """A transfer is of fewer points than the programme allows. Metadata says how many it must be."""


class SpendingLimitReached(FailedPrecondition):
    """The member would spend, send or receive more than the programme allows. Metadata says what, and when."""


class EarningRuleChanged(FailedPrecondition):
    """Somebody changed the earning rule since the caller read it. Metadata has the version that it is at."""


class OutOfStock(FailedPrecondition):
    """None of the reward are left."""


class RefundExceedsOrder(FailedPrecondition):
    """More is to be refunded than is left of the order. Metadata says both amounts."""


class InsufficientPoints(FailedPrecondition):
    """The member has fewer points available than the request needs. Metadata says both figures."""


class BalanceLimitReached(FailedPrecondition):
    """The member would own more points than a balance can hold."""


class LedgerBusy(ResourceExhausted):
    """The ledger's queue is full; retry with backoff."""
