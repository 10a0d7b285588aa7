"""Blocking members: what they cannot do is refused until they are unblocked, and both are entries."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.entry import UNMOVED, Block, Entry, EntryKind, request_entry_id
from services.loyalty.domain.errors import MemberNotBlocked
from services.loyalty.domain.member import Cause, entered
from services.loyalty.domain.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBlock:
    """Blocks a member, or, with ``Block.NOTHING``, unblocks one."""

    program_id: str
    member_id: str
    block: Block
    reason: str
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(members=((self.program_id, self.member_id),))

    def apply(self, books: Books, now: int) -> Entry:
        program = books.program(self.program_id)
        member = books.member(program.id, self.member_id)
        if not self.block.value and not member.block:
            raise MemberNotBlocked(f"{member.id} is not blocked", member_id=member.id)
        cause = Cause(
            request_entry_id(self.request_id),
            EntryKind.BLOCK if self.block.value else EntryKind.UNBLOCK,
            now,
            now,
            request_id=self.request_id,
            reason=self.reason,
            block=self.block.value,
        )
        changed = replace(member, entry_count=member.entry_count + 1, block=self.block.value)
        return books.enter(*entered(changed, program, 0, (), cause, UNMOVED))
