"""Whose event it is. Two people are never merged here: an event alone must not lose one of them silently.

An anonymous visitor who turns out to be a known person is no loss: the visitor's history moves to that person by a
merge, which is logged and can be taken back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.profiles.domain.customer import Customer
from services.profiles.domain.event import EventType, Observation
from services.profiles.domain.identity_settings import DEFAULT, IdentitySettings
from services.profiles.domain.merge import MergeRule, TooManyOrigins, attach

Identifier = tuple[str, str]
ALIAS_NOT_JOINED = "ALIAS_NOT_JOINED"
MERGE_NOT_MADE = "MERGE_NOT_MADE"
NOT_ONE = frozenset({ALIAS_NOT_JOINED, MERGE_NOT_MADE})
"""Why the names of an alias are two customers'."""
IDENTIFIER_OF_ANOTHER = "IDENTIFIER_OF_ANOTHER"
IDENTIFIER_LIMIT_REACHED = "IDENTIFIER_LIMIT_REACHED"


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
        self,
        owners: Mapping[Identifier, str],
        customers: Mapping[str, Customer],
        new_id: Callable[[], str],
        settings: IdentitySettings = DEFAULT,
    ) -> None:
        self._settings = settings
        self._owners = dict(owners)
        self._customers = dict(customers)
        self._new_id = new_id
        self.learnt: dict[Identifier, str] = {}
        """New identifiers and whose they are."""
        self.joinings: list[Joining] = []
        self.notices: dict[tuple[str, str], str] = {}
        """What events did not do: by message id and reason, a sentence."""
        self.touched: dict[str, Customer] = {}
        """Customers that changed, or on whom a decision rests."""

    def resolve(self, observation: Observation) -> Customer:
        """Whose event it is: of the customers that are one, the one to whom the event's strongest name belongs.

        The other names are joined to it where they are nobody's, or a visitor's whom nobody knows.
        """
        if observation.type is EventType.ALIAS:
            self._alias(observation)
        customer = self._owner(observation.identities) or self._new_customer()
        for identity in observation.identities:
            origin = self._owners.get(identity)
            if origin is None:
                self._take(identity, customer, observation)
            elif origin != customer.customer_id:
                joined = self._join(self._customers[origin], customer, MergeRule.SIGNED_IN, observation)
                if not joined and identity[0] in self._settings.persons:
                    text = f"the {identity[0]} is another person's; an event does not merge two people"
                    self._notice(observation, IDENTIFIER_OF_ANOTHER, text)
        self.touched[customer.customer_id] = customer
        return customer

    def _owner(self, identities: Sequence[Identifier]) -> Customer | None:
        new: list[str] = []
        for kind, value in identities:
            origin = self._owners.get((kind, value))
            if origin is not None and self._may_be(customer := self._customers[origin], kind, new):
                return customer
            if origin is None and kind in self._settings.persons:
                new.append(kind)
        return None

    def _may_be(self, customer: Customer, kind: str, new: Sequence[str]) -> bool:
        """Whether the customer, known by a name of ``kind``, may be the person whom stronger, new names name."""
        if not new:
            return True
        if kind not in self._settings.persons:
            return not self._is_person(customer)  # otherwise somebody else signs in: a shared device
        return all(self._count(customer, name) < self._settings.values_max(name) for name in new)

    def _alias(self, observation: Observation) -> None:
        """Make both names one customer's where that loses nobody; afterwards the user id has an owner."""
        user = ("user_id", observation.user_id)
        before = [self._customers[self._owners[name]] for name in observation.previous if name in self._owners]
        target = self._customers.get(self._owners.get(user, ""))
        if target is None:
            only = (each for each in before if self._has_only(each, ("user_id", observation.previous_id)))
            target = next(only, None) or self._new_customer()
            self._give(user, target)
        if not before:
            self._give(observation.previous[0], target)
        for each in before:
            if not self._join(each, target, MergeRule.ALIAS, observation):
                text = "previous_id and user_id are known as two people; an alias does not merge them"
                self._notice(observation, ALIAS_NOT_JOINED, text)

    def _join(self, visitor: Customer, person: Customer, rule: MergeRule, observation: Observation) -> bool:
        """Make ``visitor`` a part of ``person`` if nobody is lost by that; whether they are one now."""
        if visitor.surviving_id == person.surviving_id:
            return True
        merged = self._customers[visitor.surviving_id]
        if self._is_person(merged):
            return False
        if rule is MergeRule.SIGNED_IN and not self._is_person(person):
            rule = MergeRule.SAME_VISITOR
        merge_id = self._new_id()
        try:
            origins = attach(self._customers, merged, person, merge_id)
        except TooManyOrigins as error:
            self._notice(observation, MERGE_NOT_MADE, f"{error.message}; the visitor stays one of their own")
            return False
        top = person.surviving_id
        self.joinings.append(
            Joining(merge_id, top, person.customer_id, merged.customer_id, origins, rule, observation.message_id)
        )
        self._touch((top, *origins))
        return True

    def _parts(self, customer: Customer) -> Iterator[Customer]:
        """All that the customer is made of."""
        top = self._customers[customer.surviving_id]
        yield top
        for origin in top.origins:
            yield self._customers[origin]

    def _is_person(self, customer: Customer) -> bool:
        persons = self._settings.persons
        return any(kind in persons for part in self._parts(customer) for kind in part.identifier_counts)

    def _count(self, customer: Customer, kind: str) -> int:
        return sum(part.identifier_counts.get(kind, 0) for part in self._parts(customer))

    def _has_only(self, customer: Customer, user: Identifier) -> bool:
        """Whether the customer has no user id besides ``user``."""
        count = self._count(customer, "user_id")
        has = user in self._owners and self._customers[self._owners[user]].surviving_id == customer.surviving_id
        return count == int(has)

    def _take(self, identity: Identifier, customer: Customer, observation: Observation) -> None:
        """Give a new identifier to the customer unless they have as many as they may."""
        kind = identity[0]
        if self._count(customer, kind) < self._settings.values_max(kind):
            self._give(identity, customer)
        else:
            text = f"the customer has as many of {kind} as one may have; this one is nobody's"
            self._notice(observation, IDENTIFIER_LIMIT_REACHED, text)

    def _notice(self, observation: Observation, reason: str, text: str) -> None:
        self.notices.setdefault((observation.message_id, reason), text)

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
        names = observation.identities
        if observation.previous_id:
            names += observation.previous
        origins = {owners.get(name) for name in names}
        if len(origins) > 1 or None in origins:
            tops = {found[origin].surviving_id for origin in origins if origin is not None}
            if len(tops) > 1 or None in origins:
                asked |= tops
    return asked
