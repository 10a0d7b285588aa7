"""The rpcs of shared accounts."""

from dataclasses import dataclass

from tessera.loyalty.v1 import shared_account_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.loyalty.domain.account_activity import AccountActivity
from services.loyalty.domain.entry import AccountRole, EntryKind
from services.loyalty.domain.shared_account import (
    AccountChange,
    JoinAccount,
    LeaveAccount,
    OpenAccount,
    SetAccountRole,
    SharedAccount,
)
from services.loyalty.handlers.shared_accounts import change_account, get_shared_account, list_account_activity
from services.loyalty.ports import Clubs, Ledger, Programs
from services.loyalty.servicer.calls import Context, named, page_size, timestamp
from services.loyalty.servicer.carts import time_message

ACCOUNT_ROLES = {
    "": pb.ACCOUNT_ROLE_UNSPECIFIED,
    **{role.value: pb.AccountRole.Value(f"ACCOUNT_ROLE_{role.name}") for role in AccountRole},
}
_ASKED = {number: AccountRole(value or "earner") for value, number in ACCOUNT_ROLES.items()}
_CHANGES = {change.value: pb.AccountChange.Value(f"ACCOUNT_CHANGE_{change.name}") for change in AccountChange}
_SPENDING = (EntryKind.BURN.value, EntryKind.REDEMPTION.value)


@dataclass(frozen=True, kw_only=True)
class SharedAccountRpcs(LoyaltyServiceServicer):
    """Accounts that several customers use."""

    ledger: Ledger
    programs: Programs
    clubs: Clubs

    async def OpenSharedAccount(
        self, request: pb.OpenSharedAccountRequest, context: Context
    ) -> pb.OpenSharedAccountResponse:
        opening = OpenAccount(
            program_id=request.program_id,
            account_id=request.account_id,
            name=request.name,
            users_max=request.users_max,
            owner_id=request.owner_id,
        )
        account = await change_account(self.ledger, named(request), opening)
        return pb.OpenSharedAccountResponse(account=account_message(account))

    async def JoinSharedAccount(
        self, request: pb.JoinSharedAccountRequest, context: Context
    ) -> pb.JoinSharedAccountResponse:
        joining = JoinAccount(
            program_id=request.program_id,
            account_id=request.account_id,
            customer_id=request.customer_id,
            role=_ASKED[request.role],
            bring_points=request.bring_points,
            request_id=request.request_id,
        )
        account = await change_account(self.ledger, named(request), joining)
        return pb.JoinSharedAccountResponse(account=account_message(account))

    async def LeaveSharedAccount(
        self, request: pb.LeaveSharedAccountRequest, context: Context
    ) -> pb.LeaveSharedAccountResponse:
        leaving = LeaveAccount(
            program_id=request.program_id,
            account_id=request.account_id,
            customer_id=request.customer_id,
            request_id=request.request_id,
        )
        account = await change_account(self.ledger, named(request), leaving)
        return pb.LeaveSharedAccountResponse(account=account_message(account))

    async def SetAccountRole(self, request: pb.SetAccountRoleRequest, context: Context) -> pb.SetAccountRoleResponse:
        setting = SetAccountRole(
            program_id=request.program_id,
            account_id=request.account_id,
            customer_id=request.customer_id,
            role=_ASKED[request.role],
        )
        account = await change_account(self.ledger, named(request), setting)
        return pb.SetAccountRoleResponse(account=account_message(account))

    async def GetSharedAccount(
        self, request: pb.GetSharedAccountRequest, context: Context
    ) -> pb.GetSharedAccountResponse:
        tenant = principal().tenant
        found = await get_shared_account(self.programs, self.clubs, tenant, request.program_id, request.account_id)
        return pb.GetSharedAccountResponse(account=account_message(found))

    async def ListAccountActivity(
        self, request: pb.ListAccountActivityRequest, context: Context
    ) -> pb.ListAccountActivityResponse:
        found, token = await list_account_activity(
            self.programs,
            self.clubs,
            principal().tenant,
            request.program_id,
            request.account_id,
            page_size(request),
            request.page_token,
        )
        return pb.ListAccountActivityResponse(activities=map(_activity, found), next_page_token=token)


def account_message(account: SharedAccount) -> pb.SharedAccount:
    """An account."""
    return pb.SharedAccount(
        program_id=account.program_id,
        account_id=account.account_id,
        name=account.name,
        member_id=account.member_id,
        users_max=account.users_max,
        users=[
            pb.AccountUser(
                customer_id=user.customer_id, role=ACCOUNT_ROLES[user.role], join_time=timestamp(user.join_time)
            )
            for user in account.users
        ],
        history=[
            pb.AccountStep(
                time=timestamp(step.time),
                customer_id=step.customer_id,
                change=_CHANGES[step.change],
                role=ACCOUNT_ROLES[step.role],
            )
            for step in reversed(account.history)
        ],
        create_time=timestamp(account.create_time),
        close_time=time_message(account.close_time, 0),
    )


def _activity(activity: AccountActivity) -> pb.AccountActivity:
    return pb.AccountActivity(
        entry_id=activity.entry_id,
        customer_id=activity.customer_id,
        earned=activity.kind not in _SPENDING,
        points=activity.points,
        record_time=timestamp(activity.time),
    )
