"""The customer as a message needs them: an address and what a template may say about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.common.errors import NotFound
from services.crm.domain.template import Variables


class CustomerNotFound(NotFound):
    """No customer has this id."""


@dataclass(frozen=True, slots=True)
class Customer:
    """What profiles knows about one customer. Times are RFC 3339, empty without orders."""

    customer_id: str
    traits: Mapping[str, Any]
    emails: tuple[str, ...] = ()
    """Identifiers of the type ``email``."""
    order_count: int = 0
    first_order_time: str = ""
    last_order_time: str = ""

    @property
    def email(self) -> str:
        """The trait ``email`` if it is text, else the first identifier of that type, else empty."""
        trait = self.traits.get("email")
        if isinstance(trait, str) and trait.strip():
            return trait
        return self.emails[0] if self.emails else ""

    def variables(self) -> Variables:
        """What a template may name. What is not known is missing, so that a template has to say what it wants then."""
        lifetime: dict[str, Any] = {"order_count": self.order_count}
        if self.order_count:
            lifetime |= {"first_order_time": self.first_order_time, "last_order_time": self.last_order_time}
        known = {name: value for name, value in self.traits.items() if value is not None}
        return {"customer": {**known, "id": self.customer_id}, "lifetime": lifetime}
