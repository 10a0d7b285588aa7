"""Services that have no use for groups pass over what profiles' feed tells of them, and go on with what comes after."""

from typing import Any

from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.crm.adapters.events import ProfilesFollower
from services.forecasting.adapters.events import order_lines
from services.loyalty.adapters.events import read_orders
from services.recommendation.adapters.events import told_of

MERGED = pb.Change(
    tenant_id="acme",
    customers_merged=pb.CustomersMerged(customer_id="a", merged_customer_id="b", origin_customer_ids=["b"]),
)
CHANGES = [
    pb.Change(tenant_id="acme", group_traits_changed=pb.GroupTraitsChanged(group_id="home", traits_json="{}")),
    pb.Change(
        tenant_id="acme",
        group_membership_changed=pb.GroupMembershipChanged(
            group_id="home", customer_id="a", origin_customer_id="a", member=True
        ),
    ),
]


class Kept:
    """A store that keeps nothing but what was committed."""

    def __init__(self) -> None:
        self.commits: list[Any] = []

    async def commit(self, writes: Any) -> None:
        self.commits.append(writes)

    async def get_many(self, *_: Any) -> dict[str, Any]:
        return {}


def test_loyalty_recommendation_and_forecasting_make_nothing_of_groups() -> None:
    assert read_orders(CHANGES) == {}
    assert read_orders([*CHANGES, MERGED]) == read_orders([MERGED])
    alone, behind = (told_of(pb.FollowChangesResponse(changes=told)) for told in ([MERGED], [*CHANGES, MERGED]))
    assert alone.moved == behind.moved
    assert order_lines(CHANGES).num_rows == 0


async def test_crm_moves_its_cursor_past_groups() -> None:
    store: Any = Kept()
    unused: Any = None
    follower = ProfilesFollower(unused, store, unused)
    await follower.apply(pb.FollowChangesResponse(changes=CHANGES, cursor="7"))
    ((written,),) = store.commits
    assert written.body == {"cursor": "7"}
