"""Who was merged into whom, as far as somebody may still be told under the name of before."""

from dataclasses import dataclass

from services.loyalty.domain.records import Kind, Ref


@dataclass(frozen=True, slots=True)
class MergedCustomer:
    """A customer who is part of another one now."""

    customer_id: str
    into_id: str


MERGED_CUSTOMERS = Kind("merged_customers", MergedCustomer)


def merged_ref(customer_id: str) -> Ref[MergedCustomer]:
    """Where it is kept whom a customer was merged into."""
    return Ref(MERGED_CUSTOMERS, customer_id)
