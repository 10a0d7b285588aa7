"""Which customers are wanted, by traits, computed traits, identifiers and when they were last seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.common.rules import AllOf, Comparison, RuleInvalid, validate
from services.profiles.domain.conditions import all_hold, check_supported
from services.profiles.domain.customer import Customer

WHERE_MAX = 10


@dataclass(frozen=True, slots=True)
class CustomerFilter:
    """All that is said must hold. Times are microseconds."""

    where: tuple[Comparison, ...] = ()
    last_seen_from: int | None = None
    last_seen_before: int | None = None
    identifier_type: str = ""
    identifier_prefix: str = ""

    def check(self) -> None:
        """``RuleInvalid`` or ``RuleUnsupported``."""
        if len(self.where) > WHERE_MAX:
            raise RuleInvalid("where", f"at most {WHERE_MAX} comparisons are taken")
        if self.where:
            validate(AllOf(self.where), lambda pattern: "patterns are not evaluated here")
        check_supported(self.where)

    def takes(self, customer: Customer, computed: Mapping[str, Any]) -> bool:
        """Whether the customer, with these values of computed traits, is wanted."""
        if self.last_seen_from is not None and customer.last_seen_time < self.last_seen_from:
            return False
        if self.last_seen_before is not None and customer.last_seen_time >= self.last_seen_before:
            return False
        if (self.identifier_type or self.identifier_prefix) and not any(
            self.identifier_type in ("", kind) and value.startswith(self.identifier_prefix)
            for kind, value in customer.identifiers
        ):
            return False
        if not self.where:
            return True
        traits = {name: trait.value for name, trait in customer.traits.items()}
        return all_hold(self.where, {**traits, "computed": dict(computed)})
