"""What refunds of orders mean for achievements: sums lose their share, and what went back in full counts no more."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.common.money import to_minor
from services.loyalty.domain.achievement import AchievementBook, achievements_ref
from services.loyalty.domain.achievement_events import Contribution, contribution_ref, take_off
from services.loyalty.domain.achievement_progress import Progress, progress_ref
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.entry import order_entry_id
from services.loyalty.domain.leaderboard import leaderboards_ref
from services.loyalty.domain.program import Program


@dataclass(frozen=True, slots=True)
class OrderUndone:
    """An order that was refunded: what it counted for is taken off, where the achievement says so.

    ``whole``: all of it is; else so much of its money, in ``currency`` (empty: the order's, once known), or as much
    as was refunded of it in a programme. ``program_id``: told of that programme alone.
    """

    order_id: str
    whole: bool
    currency: str = ""
    amounts: tuple[float, ...] = ()
    amount_minor: int = 0
    program_id: str = ""

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before: where there are no achievements, no more than that."""
        return Needs(records=[achievements_ref(program_id) for program_id in programs], then=self._contributions)

    def _contributions(self, books: Books) -> Needs:
        concerned = [program.id for program, _ in self._books(books)]
        refs = [contribution_ref(program_id, "order", self.order_id) for program_id in concerned]
        return Needs(
            records=[*refs, *map(leaderboards_ref, concerned)],
            entries=[order_entry_id(program_id, self.order_id) for program_id in concerned],
            refunds=[(program_id, self.order_id) for program_id in concerned],
            then=self._people if concerned else None,
        )

    def _people(self, books: Books) -> Needs:
        known = self._known(books)
        return Needs(
            members=[(each.program_id, each.person_id) for each in known], then=self._progress if known else None
        )

    def _progress(self, books: Books) -> Needs:
        return Needs(
            records=[
                progress_ref(each.program_id, part[0], books.account_id(each.program_id, each.person_id))
                for each in self._known(books)
                for part in each.parts
            ],
            then=self._owners,
        )

    def _owners(self, books: Books) -> Needs:
        """Shared accounts into which the rewards came, and who has the points of those who were merged."""
        progress: list[Progress | None] = [
            books.record(progress_ref(each.program_id, part[0], books.account_id(each.program_id, each.person_id)))
            for each in self._known(books)
            for part in each.parts
        ]
        completions = [(each.program_id, done) for each in progress if each for done in each.completions]
        return Needs(
            members=[(program_id, done.owner_id) for program_id, done in completions if done.owner_id],
            entries=[done.entry_id for _, done in completions if done.entry_id and not done.revoke_time],
        )

    def _known(self, books: Books) -> list[Contribution]:
        found = (books.record(contribution_ref(each.id, "order", self.order_id)) for each, _ in self._books(books))
        return [each for each in found if each and each.member_id]

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Take it off where it counted, and remember it where it has not come yet."""
        for program, _ in self._books(books):
            ref = contribution_ref(program.id, "order", self.order_id)
            kept = books.record(ref)
            whole = self.whole or self._all_refunded(books, program)
            amount_minor = self._minor(kept)
            if kept is None or not kept.member_id:
                waiting = kept.refunded_minor if kept else 0
                refunded = Contribution(
                    program.id,
                    "",
                    now,
                    undone=whole or bool(kept and kept.undone),
                    currency=self.currency,
                    refunded_minor=waiting + amount_minor,
                )
                if whole or amount_minor:
                    books.put_record(ref, refunded)
            elif whole or (amount_minor and self.currency in ("", kept.currency)):
                take_off(books, program, self.order_id, amount_minor, now, whole=whole)

    def _minor(self, kept: Contribution | None) -> int:
        currency = self.currency or (kept.currency if kept else "")
        told = sum(to_minor(amount, currency) for amount in self.amounts) if currency else 0
        return self.amount_minor or max(0, told)

    def _books(self, books: Books) -> list[tuple[Program, AchievementBook]]:
        found = ((program, books.record(achievements_ref(program.id))) for program in books.programs.values())
        return [
            (program, book)
            for program, book in found
            if book
            and self.program_id in ("", program.id)
            and any(each.revoked_by_refund for each in book.achievements)
        ]

    def _all_refunded(self, books: Books, program: Program) -> bool:
        order = books.entries.get(order_entry_id(program.id, self.order_id))
        return order is not None and books.refunded(program.id, self.order_id).amount_minor >= order.order_amount_minor
