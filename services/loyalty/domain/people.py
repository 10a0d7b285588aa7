"""One person under several names: what customers who were merged have used counts together, and stays each one's own.

Uses are kept under the name that they were told of, and added up over all names of the person when a limit is asked:
a merge moves nothing, so an unmerge has nothing to give back.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any

from services.loyalty.domain.books import MERGES_MAX, Books, Needs
from services.loyalty.domain.merged import merged_ref
from services.loyalty.domain.records import Kind, Ref


@dataclass(frozen=True, slots=True)
class MergedNames:
    """The other names of a customer: of all who were merged into them, and into those."""

    customer_id: str
    names: tuple[str, ...] = ()


MERGED_NAMES = Kind("merged_names", MergedNames)
Refs = Callable[[Books, Sequence[str]], Iterable[Ref[Any]]]
"""What is read of a person, given all of their names."""


def names_ref(customer_id: str) -> Ref[MergedNames]:
    """Where a customer's other names are kept."""
    return Ref(MERGED_NAMES, customer_id)


def root_of(books: Books, customer_id: str) -> str:
    """Who the customer is now."""
    for _ in range(MERGES_MAX):
        merged = books.record(merged_ref(customer_id))
        if merged is None:
            break
        customer_id = merged.into_id
    return customer_id


def names_of(books: Books, customer_id: str) -> tuple[str, ...]:
    """All names of the person, the one of now first."""
    root = root_of(books, customer_id)
    known = books.record(names_ref(root))
    return (root, *(known.names if known else ()))


def names_needs(
    customer_ids: Sequence[str], refs: Refs = lambda books, names: (), then: Callable[[Books], Needs] | None = None
) -> Needs:
    """What must be loaded to know all names of these people, then what is read under them, and then what follows."""

    def follow(books: Books) -> Needs:
        roots = [root_of(books, each) for each in customer_ids]
        return Needs(records=[ref for each in roots for ref in (merged_ref(each), names_ref(each))], then=known(roots))

    def known(before: Sequence[str]) -> Callable[[Books], Needs]:
        def found(books: Books) -> Needs:
            if [root_of(books, each) for each in customer_ids] != [*before]:
                return follow(books)
            names = dict.fromkeys(name for each in customer_ids for name in names_of(books, each))
            return Needs(records=[*refs(books, list(names))], then=then)

        return found

    return Needs(records=[merged_ref(each) for each in customer_ids], then=follow)


def joined_names(books: Books, merged_id: str, customer_id: str) -> None:
    """The merged customer's names are the survivor's, once the merge is kept."""
    root = root_of(books, customer_id)
    theirs = books.record(names_ref(merged_id))
    names = {*names_of(books, root), merged_id, *(theirs.names if theirs else ())} - {root}
    books.drop_record(names_ref(merged_id))
    books.put_record(names_ref(root), MergedNames(root, tuple(sorted(names))))


def parted_names(books: Books, holder_id: str, restored_id: str, origins: Set[str]) -> None:
    """The restored customer's names are theirs again."""
    for name, names in (
        (holder_id, {*names_of(books, holder_id)} - {holder_id, restored_id, *origins}),
        (restored_id, {*origins} - {restored_id}),
    ):
        if names:
            books.put_record(names_ref(name), MergedNames(name, tuple(sorted(names))))
        else:
            books.drop_record(names_ref(name))
