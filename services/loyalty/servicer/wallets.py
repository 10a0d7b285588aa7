"""The rpcs of wallets."""

from dataclasses import dataclass

from tessera.loyalty.v1 import wallet_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.loyalty.domain.program import Program
from services.loyalty.domain.standing import Standing
from services.loyalty.domain.wallet import SEPARATOR, CreateWallet
from services.loyalty.handlers.wallets import create_wallet, list_wallets
from services.loyalty.ports import Ledger, Members, Programs
from services.loyalty.servicer.calls import Context, named
from services.loyalty.servicer.lots import read_validity, validity_message


@dataclass(frozen=True, kw_only=True)
class WalletRpcs(LoyaltyServiceServicer):
    """Several kinds of points in one programme."""

    ledger: Ledger
    programs: Programs
    members: Members
    clock: Clock

    async def CreateWallet(self, request: pb.CreateWalletRequest, context: Context) -> pb.CreateWalletResponse:
        creating = CreateWallet(
            program_id=request.program_id,
            wallet_id=request.wallet_id,
            name=request.name,
            unit=request.unit,
            redeemable=not request.not_redeemable,
            points_per_100_minor=request.points_per_100_minor,
            validity=read_validity(request.validity) if request.HasField("validity") else None,
        )
        return pb.CreateWalletResponse(wallet=_wallet(await create_wallet(self.ledger, named(request), creating)))

    async def ListWallets(self, request: pb.ListWalletsRequest, context: Context) -> pb.ListWalletsResponse:
        tenant, now = principal().tenant, to_micros(self.clock())
        found = await list_wallets(self.programs, self.members, tenant, request.program_id, request.member_id, now)
        return pb.ListWalletsResponse(wallets=[_balance(wallet, held) for wallet, held in found])


def _wallet(program: Program) -> pb.Wallet:
    return pb.Wallet(
        program_id=program.wallet_of or program.id,
        wallet_id=program.id.removeprefix(program.wallet_of + SEPARATOR) if program.wallet_of else "",
        wallet_program_id=program.id,
        name=program.name,
        unit=program.unit,
        redeemable=program.redeemable,
        points_per_100_minor=program.points_per_100_minor,
        validity=validity_message(program.validity) if program.validity else None,
    )


def _balance(program: Program, held: Standing | None) -> pb.WalletBalance:
    if held is None:
        return pb.WalletBalance(wallet=_wallet(program))
    return pb.WalletBalance(
        wallet=_wallet(program),
        balance_points=held.member.balance,
        available_points=held.available,
        pending_points=held.member.pending_points,
        expiring_points=held.expiring_points,
    )
