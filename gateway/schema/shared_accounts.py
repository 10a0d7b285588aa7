"""Shared accounts in the schema."""

from collections.abc import Sequence

from strawberry import Parent
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb
from tessera.loyalty.v1 import shared_account_pb2 as pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.loyalty import Member
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation

PREFIX = "account/"
"""Of the id of a shared account as a member."""


@from_proto(pb.AccountUser, "customer_id", "role", "join_time")
class AccountUser: ...


@from_proto(pb.AccountStep, "time", "customer_id", "change", "role")
class AccountStep: ...


@from_proto(pb.AccountActivity, "entry_id", "customer_id", "earned", "points", "record_time")
class AccountActivity: ...


@from_proto(
    pb.SharedAccount,
    "program_id",
    "account_id",
    "name",
    "member_id",
    "users_max",
    "users",
    "history",
    "create_time",
    "close_time",
)
class SharedAccount: ...


@input_from_proto(
    pb.OpenSharedAccountRequest, "request_id", "program_id", "account_id", "name", "users_max", "owner_id"
)
class OpenSharedAccountInput: ...


@from_proto(pb.OpenSharedAccountResponse, "account")
class OpenSharedAccountPayload: ...


@input_from_proto(
    pb.JoinSharedAccountRequest, "request_id", "program_id", "account_id", "customer_id", "role", "bring_points"
)
class JoinSharedAccountInput: ...


@from_proto(pb.JoinSharedAccountResponse, "account")
class JoinSharedAccountPayload: ...


@input_from_proto(pb.LeaveSharedAccountRequest, "request_id", "program_id", "account_id", "customer_id")
class LeaveSharedAccountInput: ...


@from_proto(pb.LeaveSharedAccountResponse, "account")
class LeaveSharedAccountPayload: ...


@input_from_proto(pb.SetAccountRoleRequest, "request_id", "program_id", "account_id", "customer_id", "role")
class SetAccountRoleInput: ...


@from_proto(pb.SetAccountRoleResponse, "account")
class SetAccountRolePayload: ...


@edge(Member, by_rpc("loyalty.GetSharedAccount"))
async def shared_account(member: Parent[loyalty_pb.Member], info: Info) -> pb.SharedAccount | None:
    """The shared account that the member uses, or is; null: none."""
    account_id = (member.account_id or member.member_id).removeprefix(PREFIX)
    if not (member.account_id or member.member_id.startswith(PREFIX)):
        return None
    request = pb.GetSharedAccountRequest(program_id=member.program_id, account_id=account_id)
    backend = info.context.backends.loyalty
    answer = await none_if_not_found(backend.GetSharedAccount(request, metadata=info.context.metadata))
    return answer.account if answer else None


@edge(SharedAccount, by_rpc("loyalty.BatchGetMembers"), name="member")
async def member_of_account(account: Parent[pb.SharedAccount], info: Info) -> loyalty_pb.Member | None:
    """What the account has, its tier and its statement."""
    return await loaders.member(info.context, account.program_id, account.member_id)


@edge(SharedAccount, by_rpc("loyalty.ListAccountActivity"))
async def activity(
    account: Parent[pb.SharedAccount], info: Info, first: First = 20, after: After = None
) -> Page[pb.AccountActivity]:
    """Who earned into the account and spent from it, latest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.AccountActivity], str]:
        request = pb.ListAccountActivityRequest(
            program_id=account.program_id, account_id=account.account_id, page_size=size, page_token=token
        )
        answer = await info.context.backends.loyalty.ListAccountActivity(request, metadata=info.context.metadata)
        return answer.activities, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("loyalty.OpenSharedAccount"))
async def open_shared_account(info: Info, input: pb.OpenSharedAccountRequest) -> pb.OpenSharedAccountResponse:
    return await info.context.backends.loyalty.OpenSharedAccount(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.JoinSharedAccount"))
async def join_shared_account(info: Info, input: pb.JoinSharedAccountRequest) -> pb.JoinSharedAccountResponse:
    return await info.context.backends.loyalty.JoinSharedAccount(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.LeaveSharedAccount"))
async def leave_shared_account(info: Info, input: pb.LeaveSharedAccountRequest) -> pb.LeaveSharedAccountResponse:
    return await info.context.backends.loyalty.LeaveSharedAccount(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.SetAccountRole"))
async def set_account_role(info: Info, input: pb.SetAccountRoleRequest) -> pb.SetAccountRoleResponse:
    return await info.context.backends.loyalty.SetAccountRole(input, metadata=info.context.metadata)
