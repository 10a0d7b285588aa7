"""Comparisons of ibis' expressions that threads may make, and end, at once.

ibis keeps what comparing two expressions gave by their ids, and forgets it with either. Forgetting, as of 12.0, is not
safe: of two threads that end expressions which were once compared, one does not find what the other has just dropped,
stops half-way, and what is left answers for whatever gets the id next. Here nothing is dropped but one's own.
"""

from ibis.common.bases import Comparable


def _forget(ended: Comparable, kept: dict[int, dict[int, bool]] = Comparable.__cache__) -> None:
    """Each step is one call of a dictionary, which no thread interrupts; whoever is alive keeps a place, if empty.

    What is kept is at hand without a name, as names are gone when the interpreter ends before the expressions.
    """
    own = id(ended)
    for other in list(kept.pop(own, ())):
        if (answers := kept.get(other)) is not None:
            answers.pop(own, None)


def let_threads_compare() -> None:
    """Have expressions that end forget their comparisons in this way."""
    Comparable.__del__ = _forget
