"""Wallets in the schema."""

from strawberry import Parent
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb
from tessera.loyalty.v1 import wallet_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.loyalty import Member, Program
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation


@from_proto(
    pb.Wallet,
    "program_id",
    "wallet_id",
    "wallet_program_id",
    "name",
    "unit",
    "redeemable",
    "points_per_100_minor",
    "validity",
)
class Wallet: ...


@from_proto(pb.WalletBalance, "wallet", "balance_points", "available_points", "pending_points", "expiring_points")
class WalletBalance: ...


@input_from_proto(
    pb.CreateWalletRequest,
    "request_id",
    "program_id",
    "wallet_id",
    "name",
    "unit",
    "not_redeemable",
    "points_per_100_minor",
    "validity",
)
class CreateWalletInput: ...


@from_proto(pb.CreateWalletResponse, "wallet")
class CreateWalletPayload: ...


@edge(Program, by_rpc("loyalty.ListWallets"), name="wallets")
async def wallets_of_program(program: Parent[loyalty_pb.Program], info: Info) -> list[pb.Wallet]:
    """The kinds of points: the programme's own, then the others by id."""
    request = pb.ListWalletsRequest(program_id=program.program_id)
    answer = await info.context.backends.loyalty.ListWallets(request, metadata=info.context.metadata)
    return [each.wallet for each in answer.wallets]


@edge(Member, by_rpc("loyalty.ListWallets"))
async def wallets(member: Parent[loyalty_pb.Member], info: Info) -> list[pb.WalletBalance]:
    """What the member has of each kind of points."""
    request = pb.ListWalletsRequest(program_id=member.program_id, member_id=member.member_id)
    answer = await info.context.backends.loyalty.ListWallets(request, metadata=info.context.metadata)
    return list(answer.wallets)


@mutation(by_rpc("loyalty.CreateWallet"))
async def create_wallet(info: Info, input: pb.CreateWalletRequest) -> pb.CreateWalletResponse:
    return await info.context.backends.loyalty.CreateWallet(input, metadata=info.context.metadata)
