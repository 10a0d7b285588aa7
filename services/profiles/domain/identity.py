"""Whose event it is. Two people are never merged here: an event alone must not lose one of them silently.

An anonymous visitor who turns out to be a known person is no loss: the visitor's history moves to that person by a
merge, which is logged and can be taken back.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from services.profiles.domain.customer import Customer
from services.profiles.domain.event import EventType, Observation
from services.profiles.domain.merge import MergeRule, TooManyOrigins, attach

Identifier = tuple[str, str]
ALIAS_NOT_JOINED = "ALIAS_NOT_JOINED"
MERGE_NOT_MADE = "MERGE_NOT_MADE"


@dataclass(frozen=True, slots=True)
class Joining:
    """A merge that a rule made: ``merged_id``, with all its origins, into ``customer_id``."""

    merge_id: str
    customer_id: str
    onto_id: str
    merged_id: str
    origins: tuple[str, ...]
    rule: MergeRule
    message_id: str


class Directory:
    """The customers and identifiers that a batch is about, as it changes them.

    Of a customer that is made of several, either all origins are here or only those that the batch need not ask about.
    """

    def __init__(
        self, owners: Mapping[Identifier, str], customers: Mapping[str, Customer], new_id: Callable[[], str]
    ) -> None:
        self._owners = dict(owners)
        self._customers = dict(customers)
        self._new_id = new_id
        self.learnt: dict[Identifier, str] = {}
        """New identifiers and whose they are."""
        self.joinings: list[Joining] = []
        self.notices: dict[str, str] = {}
        """What an event did not do, by message id: the reason."""
        self.touched: dict[str, Customer] = {}
        """Customers that changed, or on whom a decision rests."""

    def resolve(self, observation: Observation) -> Customer:
        """Whose event it is: of the customers that are one, the one to whom the event's strongest name belongs.

        The user id decides. An anonymous id that is known to nobody, or to somebody without a user id, is joined to it.
        """
        if observation.type is EventType.ALIAS:
            self._alias(observation)
        customer = self._owner(observation) or self._new_customer()
        for identity in observation.identities:
            if identity in self._owners:
                self._join(self._customers[self._owners[identity]], customer, MergeRule.SIGNED_IN, observation)
            else:
                self._give(identity, customer)
        self.touched[customer.customer_id] = customer
        return customer

    def _owner(self, observation: Observation) -> Customer | None:
        identities = observation.identities
        known = next((self._customers[self._owners[name]] for name in identities if name in self._owners), None)
        if known is not None and identities[0] not in self._owners and self._user_ids(known):
            return None  # the device is known, the person who signs in on it is not: a shared device
        return known

    def _alias(self, observation: Observation) -> None:
        """Make both names one customer's where that loses nobody; afterwards the user id has an owner."""
        user = ("user_id", observation.user_id)
        before = [self._customers[self._owners[name]] for name in observation.previous if name in self._owners]
        target = self._customers.get(self._owners.get(user, ""))
        if target is None:
            only = (each for each in before if self._user_ids(each) <= {observation.previous_id})
            target = next(only, None) or self._new_customer()
            self._give(user, target)
        if not before:
            self._give(observation.previous[0], target)
        for each in before:
            if not self._join(each, target, MergeRule.ALIAS, observation):
                self.notices.setdefault(observation.message_id, ALIAS_NOT_JOINED)

    def _join(self, visitor: Customer, person: Customer, rule: MergeRule, observation: Observation) -> bool:
        """Make ``visitor`` a part of ``person`` if nobody is lost by that; whether they are one now."""
        if visitor.surviving_id == person.surviving_id:
            return True
        merged = self._customers[visitor.surviving_id]
        if self._user_ids(merged):
            return False
        merge_id = self._new_id()
        try:
            origins = attach(self._customers, merged, person, merge_id)
        except TooManyOrigins:
            self.notices[observation.message_id] = MERGE_NOT_MADE
            return False
        top = person.surviving_id
        self.joinings.append(
            Joining(merge_id, top, person.customer_id, merged.customer_id, origins, rule, observation.message_id)
        )
        self._touch((top, *origins))
        return True

    def _user_ids(self, customer: Customer) -> set[str]:
        """Of all that the customer is made of."""
        top = self._customers[customer.surviving_id]
        parts = (top, *(self._customers[origin] for origin in top.origins))
        return {value for part in parts for kind, value in part.identifiers if kind == "user_id"}

    def _new_customer(self) -> Customer:
        customer = Customer(self._new_id())
        self._customers[customer.customer_id] = customer
        return customer

    def _give(self, identity: Identifier, customer: Customer) -> None:
        if identity not in self._owners:
            self._owners[identity] = self.learnt[identity] = customer.customer_id
            customer.know_as(identity)
            # The customer on top is written too: so no two writers give a user id to two parts of one customer.
            self._touch((customer.customer_id, customer.surviving_id))

    def _touch(self, customer_ids: Iterable[str]) -> None:
        self.touched.update((customer_id, self._customers[customer_id]) for customer_id in customer_ids)


def undecided(
    observations: Iterable[Observation], owners: Mapping[Identifier, str], found: Mapping[str, Customer]
) -> set[str]:
    """The customers of whom all origins have to be known before the events can be given to somebody.

    An event whose names are all known, and one customer's, needs nothing but the origin that it belongs to.
    """
    asked: set[str] = set()
    for observation in observations:
        names = observation.identities + observation.previous
        tops = {found[owners[name]].surviving_id for name in names if name in owners}
        if len(tops) > 1 or not all(name in owners for name in names):
            asked |= tops
    return asked
