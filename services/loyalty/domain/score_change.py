"""What leaderboards hear beside entries, published in the commit that made it true: achievements, merges, names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.leaderboard import LeaderboardName, leaderboards_ref, name_ref
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref

ALIAS_MAX = 40


class ScoreChangeKind(Enum):
    """What changed."""

    PROGRESS = "progress"
    MERGE = "merge"
    UNMERGE = "unmerge"
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChange:
    """One change. PROGRESS: ``amounts`` by what is compared, under the names of ``partner_id``. MERGE: ``member_id``
    takes over all of ``partner_id``. UNMERGE: what came under ``origin_ids`` goes back to ``partner_id``.
    """

    kind: ScoreChangeKind
    member_id: str
    time: int
    program_id: str
    partner_id: str = ""
    origin_ids: tuple[str, ...] = ()
    amounts: dict[str, int] = field(default_factory=dict)
    event_time: int = 0


SCORE_CHANGES = Kind("score_changes", ScoreChange)


def note_change(books: Books, change: ScoreChange, cause: str) -> None:
    """Publish a change, once for each ``cause``."""
    digest = blake2b(f"{change.kind.value}/{cause}".encode(errors="surrogatepass"), digest_size=16).hexdigest()
    books.put_record(Ref(SCORE_CHANGES, digest), change)


def compared(books: Books, program_id: str) -> bool:
    """Whether the programme has a leaderboard, whose record was needed."""
    return books.record(leaderboards_ref(program_id)) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLeaderboardName:
    """Sets what others see of a member."""

    program_id: str
    member_id: str
    alias: str
    hidden: bool
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(
            members=((self.program_id, self.member_id),),
            then=lambda books: Needs(records=(name_ref(self.program_id, self._person(books)),)),
        )

    def apply(self, books: Books, now: int) -> LeaderboardName:
        program = books.program(self.program_id)
        member_id = self._person(books)
        name = LeaderboardName(program.id, member_id, self.alias, self.hidden)
        books.put_record(name_ref(program.id, member_id), name)
        change = ScoreChange(kind=ScoreChangeKind.NAME, program_id=program.id, member_id=member_id, time=now)
        note_change(books, change, self.request_id)
        return name

    def _person(self, books: Books) -> str:
        return books.account_id(self.program_id, self.member_id)
