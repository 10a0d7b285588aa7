"""Wallets: kinds of points of a programme, each a programme of its own that orders earn in beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.errors import ProgramExists, ProgramLimitReached, ProgramNotFound
from services.loyalty.domain.program import PROGRAMS_MAX, Program, Qualification
from services.loyalty.domain.validity import Validity, check_validity

SEPARATOR = "."
"""Between the ids of the programme and the wallet: no programme that is created has it in its id."""


def wallet_program_id(program_id: str, wallet_id: str) -> str:
    """The id of a wallet as a programme."""
    return f"{program_id}{SEPARATOR}{wallet_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateWallet:
    """Opens a wallet of a programme."""

    program_id: str
    wallet_id: str
    name: str
    unit: str
    redeemable: bool
    points_per_100_minor: int
    validity: Validity | None

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs()

    def apply(self, books: Books, now: int) -> Program:
        check_validity(self.validity, 0)
        program = books.program(self.program_id)
        if program.wallet_of:
            raise ProgramNotFound(f"{program.id} is a wallet, and has none itself", program_id=program.id)
        own_id = wallet_program_id(program.id, self.wallet_id)
        if own_id in books.programs:
            raise ProgramExists(f"there is a wallet {self.wallet_id} already", program_id=own_id)
        if len(books.programs) >= PROGRAMS_MAX:
            raise ProgramLimitReached(
                f"a tenant may have {PROGRAMS_MAX} programmes, wallets among them", limit=PROGRAMS_MAX
            )
        wallet = Program(
            id=own_id,
            name=self.name,
            currency=program.currency,
            points_per_100_minor=self.points_per_100_minor,
            validity_months=0,
            qualification=Qualification.LIFETIME_POINTS,
            tiers=(),
            create_time=now,
            pending=program.pending,
            refund_policy=program.refund_policy,
            time_zone=program.time_zone,
            validity=self.validity,
            wallet_of=program.id,
            unit=self.unit,
            redeemable=self.redeemable,
        )
        books.add_program(wallet)
        return wallet
