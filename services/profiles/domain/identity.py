"""Whose event it is. Two customers are never merged here: an event alone must not lose one of them silently."""

from collections.abc import Callable, Mapping

from services.profiles.domain.customer import Customer
from services.profiles.domain.event import EventType, Observation

Identifier = tuple[str, str]


class Directory:
    """The customers and identifiers that a batch is about, as it changes them."""

    def __init__(
        self, owners: Mapping[Identifier, str], customers: Mapping[str, Customer], new_id: Callable[[], str]
    ) -> None:
        self._owners = dict(owners)
        self._customers = dict(customers)
        self._new_id = new_id
        self.learnt: dict[Identifier, str] = {}
        """New identifiers and whose they are."""
        self.unjoined: set[str] = set()
        """The message ids of aliases whose names stay two customers'."""

    def resolve(self, observation: Observation) -> Customer:
        """Whose event it is.

        The user id decides; an anonymous id that is known to nobody, or to somebody without a user id, is joined to it.
        """
        if observation.type is EventType.ALIAS:
            self._alias(observation)
        identities = observation.identities
        known = [self._owners[identity] for identity in identities if identity in self._owners]
        owner = known[0] if known else ""
        if owner and identities[0] not in self._owners and _user_ids(self._customers[owner]):
            owner = ""  # the device is known, the person who signs in on it is not: a shared device
        customer = self._customers.get(owner) or self._new_customer()
        for identity in identities:
            self._give(identity, customer)
        return customer

    def _alias(self, observation: Observation) -> None:
        """Make both names one customer's where that loses nobody.

        Afterwards the user id has an owner unless the two names stay apart and it is new.
        """
        user = ("user_id", observation.user_id)
        target = self._owners.get(user)
        before = {self._owners[name] for name in observation.previous if name in self._owners}
        if not before:
            customer = self._customers[target] if target else self._new_customer()
            self._give(user, customer)
            self._give(observation.previous[0], customer)
        elif (
            target is None and len(before) == 1 and self._is_only(customer := self._customers[min(before)], observation)
        ):
            self._give(user, customer)
        elif before != {target}:
            self.unjoined.add(observation.message_id)
            if target is None:
                self._give(user, self._new_customer())

    @staticmethod
    def _is_only(customer: Customer, observation: Observation) -> bool:
        """Whether the customer has no user id besides the name before."""
        return _user_ids(customer) <= {observation.previous_id}

    def _new_customer(self) -> Customer:
        customer = Customer(self._new_id())
        self._customers[customer.customer_id] = customer
        return customer

    def _give(self, identity: Identifier, customer: Customer) -> None:
        if identity not in self._owners:
            self._owners[identity] = self.learnt[identity] = customer.customer_id
            customer.know_as(identity)


def _user_ids(customer: Customer) -> set[str]:
    return {value for kind, value in customer.identifiers if kind == "user_id"}
