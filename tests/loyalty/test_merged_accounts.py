"""Shared accounts when their users are merged: the survivor takes the place, and an unmerge gives it back."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import Refusal
from services.loyalty.adapters.clubs import StoredClubs
from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.check import Audit
from services.loyalty.domain.entry import AccountRole
from services.loyalty.domain.erasure import Erasure
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.shared_account import (
    AccountsLeft,
    JoinAccount,
    LeaveAccount,
    OpenAccount,
    SetAccountRole,
    SharedAccount,
    account_ref,
)
from tests.loyalty.conftest import House
from tests.loyalty.making import NOW, TENANT, burning, earning, opening, order, request
from tests.loyalty.test_referrals import tell

PEOPLE = ("ann", "bob", "cid")


def open_for(owner_id: str, account_id: str = "home") -> OpenAccount:
    return OpenAccount(program_id="club", account_id=account_id, name="", users_max=3, owner_id=owner_id)


def join(customer_id: str, role: AccountRole = AccountRole.SPENDER, account_id: str = "home") -> JoinAccount:
    return JoinAccount(
        program_id="club",
        account_id=account_id,
        customer_id=customer_id,
        role=role,
        bring_points=False,
        request_id=f"j-{customer_id}",
    )


async def account(house: House, account_id: str = "home") -> SharedAccount:
    found = await StoredClubs(house.store).shared_account(TENANT, "club", account_id)
    assert found is not None
    return found


def users(account: SharedAccount) -> dict[str, str]:
    return {each.customer_id: each.role for each in account.users}


async def test_the_survivor_uses_the_account_of_whom_they_were_and_gives_it_back(house: House) -> None:
    await house.ledger.post(request("e"), earning("e", 30, "ann"))
    await house.ledger.post(request("open"), open_for("bob"))
    await house.ledger.post(request("join"), join("cid", AccountRole.EARNER))
    before = users(await account(house))
    await tell(house, MergeTold("m", "ann", "bob"), order("o1", 1000, "bob"))
    assert users(await account(house)) == {"cid": "earner", "ann": "owner"}
    assert ((await house.member("ann")).balance, (await house.member("account/home")).balance) == (30, 10)
    for who, points in (("ann", 3), ("bob", 4)):
        await house.ledger.post(request(f"b-{who}"), burning(f"b-{who}", points, who))
    assert (await house.member("account/home")).balance == 3
    await tell(house, UnmergeTold("u", "ann", "bob", ("bob",)))
    assert users(await account(house)) == before
    assert ((await house.member("ann")).account_id, (await house.member("bob")).account_id) == ("", "account/home")
    await tell(house, order("o2", 500, "ann"), order("o3", 700, "bob"))
    assert ((await house.member("ann")).balance, (await house.member("account/home")).balance) == (35, 10)
    assert (await house.audit()).violations == []


async def test_two_users_of_one_account_are_one_with_the_greater_role(house: House) -> None:
    await house.ledger.post(request("open"), open_for("bob"))
    await house.ledger.post(request("join"), join("ann", AccountRole.EARNER))
    await tell(house, MergeTold("m", "ann", "bob"))
    assert users(await account(house)) == {"ann": "owner"}
    await tell(house, UnmergeTold("u", "ann", "bob", ("bob",)))
    assert users(await account(house)) == {"ann": "earner", "bob": "owner"}
    assert (await house.audit()).violations == []


async def test_who_uses_another_account_goes_on_with_it(house: House) -> None:
    await house.ledger.post(request("open"), open_for("bob"))
    await house.ledger.post(request("other"), open_for("ann", "other"))
    await tell(house, MergeTold("m", "ann", "bob"), order("o1", 1000, "bob"))
    assert (await house.member("account/other")).balance == 10
    await tell(house, UnmergeTold("u", "ann", "bob", ("bob",)), order("o2", 700, "bob"))
    assert (await house.member("account/home")).balance == 7
    assert (await house.audit()).violations == []


async def test_a_person_who_stood_in_is_forgotten_in_the_account_too(house: House) -> None:
    await house.ledger.post(request("open"), open_for("bob"))
    await house.ledger.post(request("join"), join("cid"))
    await tell(house, MergeTold("m", "ann", "bob"))
    erasure = Erasure("e1", ("ann", "bob"), "erased-1")
    await tell(house, AccountsLeft(erasure))
    left = await account(house)
    assert (users(left), left.merged) == ({"cid": "owner"}, ())
    assert not {"ann", "bob"} & {each.customer_id for each in left.history}
    assert (await house.audit()).violations == []


moves = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "own", "merge", "unmerge", "earn"]),
        st.sampled_from(PEOPLE),
        st.sampled_from(PEOPLE),
    ),
    max_size=16,
)


@settings(max_examples=200, deadline=None)
@given(moves=moves)
def test_users_and_members_agree_and_there_is_one_owner(moves: list[tuple[str, str, str]]) -> None:
    books = Books(order_counts=OrderCounts())
    opening().apply(books, NOW)
    open_for("ann").apply(books, NOW)
    into: dict[str, str] = {}
    for at, (what, who, other) in enumerate(moves):
        told = {
            "join": join(who),
            "leave": LeaveAccount(program_id="club", account_id="home", customer_id=who, request_id=f"l{at}"),
            "own": SetAccountRole(program_id="club", account_id="home", customer_id=who, role=AccountRole.OWNER),
            "earn": earning(f"e{at}", 5, who),
        }.get(what)
        try:
            if told:
                told.apply(books, NOW)  # type: ignore[attr-defined]
        except Refusal:
            pass
        if what == "merge" and who != other and who not in into and other not in into and who not in into.values():
            ApplyOrderEvents([MergeTold(f"m{at}", other, who)]).apply(books, NOW)
            into[who] = other
        elif what == "unmerge" and who in into:
            ApplyOrderEvents([UnmergeTold(f"u{at}", into.pop(who), who, (who,))]).apply(books, NOW)
        found = books.record(account_ref("club", "home"))
        assert found is not None
        using = {member.id for member in books.members.values() if member.account_id and not member.merged_into}
        assert using - {who for who in PEOPLE if found.close_time} == set(users(found)), (what, who, other)
        owners = [role for role in users(found).values() if role == "owner"]
        assert len(owners) == bool(found.users)
        for each in found.users:
            assert books.members["club", each.customer_id].account_role == each.role
    audit = Audit()
    program = books.programs["club"]
    for member in books.members.values():
        own = [each for each in books.entered if each.member_id == member.id]
        others = [each for each in books.entered if each.member_id != member.id]
        audit.check_member(member, program, own, others)
    assert audit.violations == []
