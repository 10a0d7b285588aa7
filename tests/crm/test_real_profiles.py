"""crm beside the real profiles: a person that was identified there is written to from here."""

import json
from collections.abc import Callable
from typing import Any

import grpc
from tessera.crm.v1 import crm_service_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from tests.conftest import Keyring
from tests.crm.conftest import Crm
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours


async def test_what_profiles_learns_is_what_a_mail_says(
    crm: Crm, configure: Callable[..., Any], keyring: Keyring, mails: MailServer, neighbours: Neighbours
) -> None:
    line = {"product_id": "p1", "price": 2.5, "quantity": 2}
    order = json.dumps({"order_id": "o1", "currency": "EUR", "products": [line]})
    traits = json.dumps({"email": "ann@example.com", "name": "Ann", "pets": ["cat", "dog"]})
    events = [
        profiles_pb.Event(message_id="m1", type=profiles_pb.EVENT_TYPE_IDENTIFY, user_id="ann", traits_json=traits),
        profiles_pb.Event(
            message_id="m2",
            type=profiles_pb.EVENT_TYPE_TRACK,
            user_id="ann",
            name="Order Completed",
            properties_json=order,
        ),
    ]
    async with serve_profiles(configure(ProfilesSettings)) as up, grpc.aio.insecure_channel(up.address) as channel:
        profiles, ours = ProfilesServiceStub(channel), keyring.header()
        recorded = await profiles.IngestEvents(profiles_pb.IngestEventsRequest(events=events), metadata=ours)
        assert recorded.recorded_count == 2
        ann = profiles_pb.GetCustomerRequest(identifier=profiles_pb.Identifier(type="user_id", value="ann"))
        customer = (await profiles.GetCustomer(ann, metadata=ours)).customer
        neighbours.members["s1"] = [customer.customer_id]
        async with crm(profiles_addr=up.address) as client:
            says = "{{ customer.name }}: {{ customer.pets | join: '+' }}, {{ lifetime.order_count }} order"
            campaign_id = await client.campaign(await client.template(says))
            await client.start(campaign_id)
            ended = await client.ended(campaign_id)
    assert ended.state == pb.CAMPAIGN_STATE_COMPLETED
    (mail,) = mails.accepted()
    assert (mail["To"], mail["Subject"]) == ("ann@example.com", "Ann: cat+dog, 1 order")
