"""Who is whom, over the document store; and what profiles knows of people by any id that they had."""

from collections.abc import Iterable, Sequence

from services.common.store.port import Collection, Delete, Document, Put, Store, Write
from services.crm.domain.consent import ConsentState
from services.crm.domain.customer import Customer
from services.crm.domain.people import Known, People, ids_of
from services.crm.domain.unsubscribe import Leaving
from services.crm.ports import Consents, Customers

PEOPLE = Collection("people")
"""Of customers that were merged: whose each id is now, and which ids each has."""


class StoredPeople:
    """Reads who is whom."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def people(self, tenant: str, customer_ids: Iterable[str]) -> People:
        """What is known of these ids."""
        ids = list(dict.fromkeys(customer_ids))
        found = await self._store.get_many(tenant, PEOPLE, ids) if ids else {}
        return People(_known(document) for document in found.values())

    async def owners(self, tenant: str, customer_ids: Iterable[str]) -> dict[str, str]:
        """Whose each of these ids is now."""
        ids = list(dict.fromkeys(customer_ids))
        people = await self.people(tenant, ids)
        return {each: people.of(each).owner_id for each in ids}

    async def ids(self, tenant: str, customer_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """For each of these ids all ids of its person, the one that the person goes by first."""
        owners = await self.owners(tenant, customer_ids)
        people = await self.people(tenant, owners.values())
        return {each: ids_of(people.of(owner)) for each, owner in owners.items()}


def writes(tenant: str, people: People) -> list[Write]:
    """The commit that keeps what has changed."""
    known = [people.of(customer_id) for customer_id in sorted(people.changed)]
    return [
        Delete(tenant, PEOPLE, each.customer_id)
        if each.alone
        else Put(tenant, PEOPLE, each.customer_id, {"owner_id": each.owner_id, "origin_ids": list(each.origin_ids)})
        for each in known
    ]


def _known(document: Document) -> Known:
    return Known(document.id, document.body["owner_id"], tuple(document.body["origin_ids"]))


class MergedCustomers:
    """The port ``Customers``, by any id that a person had."""

    def __init__(self, customers: Customers, people: StoredPeople) -> None:
        self._customers, self._people = customers, people

    async def get_many(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, Customer]:
        owners = await self._people.owners(tenant, customer_ids)
        found = await self._customers.get_many(tenant, list(dict.fromkeys(owners.values())))
        return {each: found[owner] for each, owner in owners.items() if owner in found}


class MergedConsents:
    """The port ``Consents``, by any id that a person had."""

    def __init__(self, consents: Consents, people: StoredPeople) -> None:
        self._consents, self._people = consents, people

    async def states(
        self, tenant: str, customer_ids: Sequence[str], purpose: str, channel: str
    ) -> dict[str, ConsentState]:
        owners = await self._people.owners(tenant, customer_ids)
        found = await self._consents.states(tenant, list(dict.fromkeys(owners.values())), purpose, channel)
        return {each: found[owner] for each, owner in owners.items() if owner in found}

    async def withdraw(self, leaving: Leaving) -> None:
        await self._consents.withdraw(leaving)  # profiles knows all ids that a person had
