"""Making and changing earning rules and limits, and earning by them when a caller tells what happened."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.earned import book_ref, earn_by_rules, weighing_refs
from services.loyalty.domain.earning import Outcome
from services.loyalty.domain.earning_rule import (
    RULE_VERSIONS,
    RULES_MAX,
    Definition,
    EarningRule,
    PeriodLimit,
    RuleBook,
    check_definition,
    check_limits,
    version_id,
)
from services.loyalty.domain.entry import Entry, Share
from services.loyalty.domain.errors import (
    ActivityExists,
    EarningRuleChanged,
    EarningRuleExists,
    EarningRuleLimitReached,
    EarningRuleNotFound,
    EventTimeInvalid,
)
from services.loyalty.domain.operations import EVENT_AHEAD_MICROS_MAX
from services.loyalty.domain.orders import Event, Order
from services.loyalty.domain.program import Program
from services.loyalty.domain.promised_points import cart_ref, customer_needs, promised
from services.loyalty.domain.records import Ref
from services.loyalty.domain.refunds import refund_what_waited


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateEarningRule:
    """Adds a rule to a programme."""

    program_id: str
    rule_id: str
    definition: Definition

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(book_ref(self.program_id),))

    def apply(self, books: Books, now: int) -> EarningRule:
        check_definition(self.definition)
        program = books.program(self.program_id)
        book = books.record(book_ref(program.id)) or RuleBook(program.id)
        if book.rule(self.rule_id):
            raise EarningRuleExists(f"there is an earning rule {self.rule_id} already", rule_id=self.rule_id)
        if len(book.rules) >= RULES_MAX:
            raise EarningRuleLimitReached(
                f"a programme may have {RULES_MAX} earning rules; change one that is not used any more", limit=RULES_MAX
            )
        return _keep(books, book, EarningRule(program.id, self.rule_id, 1, self.definition, now))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateEarningRule:
    """Makes a new version of a rule that is at ``version``."""

    program_id: str
    rule_id: str
    definition: Definition
    version: int

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(book_ref(self.program_id),))

    def apply(self, books: Books, now: int) -> EarningRule:
        check_definition(self.definition)
        program = books.program(self.program_id)
        book = books.record(book_ref(program.id)) or RuleBook(program.id)
        before = book.rule(self.rule_id)
        if before is None:
            raise EarningRuleNotFound(
                f"there is no earning rule {self.rule_id} in programme {program.id}", rule_id=self.rule_id
            )
        if before.version != self.version:
            raise EarningRuleChanged(
                f"rule {self.rule_id} is at version {before.version}; read it again", version=before.version
            )
        return _keep(books, book, EarningRule(program.id, self.rule_id, before.version + 1, self.definition, now))


@dataclass(frozen=True, slots=True)
class Limits:
    """What all orders and events together may earn a member, by period."""

    program_id: str
    per_member: tuple[PeriodLimit, ...]
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEarningLimits:
    """Sets what may be earned in a programme."""

    program_id: str
    per_member: tuple[PeriodLimit, ...]

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(book_ref(self.program_id),))

    def apply(self, books: Books, now: int) -> Limits:
        check_limits(self.per_member, "per_member")
        program = books.program(self.program_id)
        book = books.record(book_ref(program.id)) or RuleBook(program.id)
        changed = replace(book, limits=self.per_member, limits_version=book.limits_version + 1)
        books.put_record(book_ref(program.id), changed)
        return Limits(program.id, changed.limits, changed.limits_version)


@dataclass(frozen=True, slots=True)
class EarnedByRules:
    """What an order or event earned. ``entry_id`` is empty where that was nothing."""

    entry_id: str
    outcome: Outcome
    balance: int
    pending: int
    tier_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EarnByRules:
    """Earns by an order or event that a caller tells; one that has earned before is answered with what it earned."""

    program_id: str
    told: Order | Event
    request_id: str
    at_any_time: bool = False
    """For what is only tried: it may lie in the future."""

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        member_id = self.told.member_id
        refunds = [(self.program_id, self.told.order_id)] if isinstance(self.told, Order) else []
        carts = [cart_ref(self.told.order_id)] if isinstance(self.told, Order) else []
        return Needs(
            members=((self.program_id, member_id),),
            entries=[self.told.cause(program, 0).entry_id for program in programs.values()],
            refunds=refunds,
            records=(book_ref(self.program_id), *carts),
            then=self._weighing_needs,
        )

    def _weighing_needs(self, books: Books) -> Needs:
        account_id = books.account_id(self.program_id, self.told.member_id)
        order_id = self.told.order_id if isinstance(self.told, Order) else ""
        needs = customer_needs(books, (self.program_id,), order_id)
        return replace(needs, records=[*weighing_refs(self.program_id, account_id)])

    def apply(self, books: Books, now: int) -> EarnedByRules:
        told = self.told
        if not 0 <= told.event_time <= now + EVENT_AHEAD_MICROS_MAX and not self.at_any_time:
            raise EventTimeInvalid("event_time must lie between 1970 and one hour from now", field="event_time")
        program = books.program(self.program_id)
        cause = told.cause(program, now, self.request_id)
        if entry := books.entries.get(cause.entry_id):
            return self._earned_before(books, entry)
        if isinstance(told, Order) and told.currency != program.currency:
            return self._answer(books, None, Outcome())
        order_id = told.order_id if isinstance(told, Order) else ""
        activity, boosts = promised(books, program, order_id, told.member_id, told.activity)
        earned = earn_by_rules(books, program, told.member_id, activity, cause, boosts)
        if earned.entry and isinstance(told, Order):
            refund_what_waited(books, program, earned.entry, now)
        return self._answer(books, earned.entry, earned.outcome)

    def _earned_before(self, books: Books, entry: Entry) -> EarnedByRules:
        member = books.member_or_new(self.program_id, self.told.member_id)
        if books.owner(entry).id not in (member.id, member.account_id):
            raise ActivityExists(f"{entry.id} was earned by another member", entry_id=entry.id)
        return self._answer(books, entry, Outcome(entry.shares or (Share("", 0, entry.points),)))

    def _answer(self, books: Books, entry: Entry | None, outcome: Outcome) -> EarnedByRules:
        member = books.purse(books.member_or_new(self.program_id, self.told.member_id))
        entry_id = entry.id if entry else ""
        return EarnedByRules(entry_id, outcome, member.balance, member.pending_points, member.tier_id)


def _keep(books: Books, book: RuleBook, rule: EarningRule) -> EarningRule:
    others = (kept for kept in book.rules if kept.rule_id != rule.rule_id)
    rules = tuple(sorted((*others, rule), key=lambda each: each.rule_id))
    books.put_record(book_ref(book.program_id), replace(book, rules=rules))
    books.put_record(Ref(RULE_VERSIONS, version_id(rule)), rule)
    return rule
