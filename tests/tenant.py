"""A tenant with an object of every kind in every service, made through the public rpcs."""

import functools
import importlib
import json
import time
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import job_pb2, money_pb2, rule_pb2
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.forecasting.v1 import (
    category_preference_pb2,
    demand_pb2,
    drivers_pb2,
    media_mix_pb2,
    propensity_pb2,
    series_pb2,
    uplift_pb2,
)
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting
from tessera.loyalty.v1 import (
    cart_pb2,
    coupon_pb2,
    leaderboard_pb2,
    offer_pb2,
    pricing_pb2,
    referral_pb2,
    reward_pb2,
    shared_account_pb2,
    wheel_pb2,
)
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.profiles.v1 import (
    computed_trait_pb2,
    customer_export_pb2,
    erasure_pb2,
    event_schema_pb2,
    person_pb2,
    transfer_pb2,
)
from tessera.profiles.v1 import consent_pb2 as consent
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.group_pb2 import AddGroupMembersRequest
from tessera.profiles.v1.identity_pb2 import (
    GetIdentitySettingsRequest,
    IdentitySettings,
    UpdateIdentitySettingsRequest,
)
from tessera.profiles.v1.merge_pb2 import ListMergesRequest
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as recommendation
from tessera.recommendation.v1.drift_settings_pb2 import DriftSettings, SaveDriftSettingsRequest
from tessera.recommendation.v1.feedback_pb2 import (
    FEEDBACK_KIND_IMPRESSION,
    RecordFeedbackRequest,
    StartExperimentRequest,
)
from tessera.recommendation.v1.placement_pb2 import SCENARIO_POPULAR, Placement, SavePlacementRequest
from tessera.recommendation.v1.training_settings_pb2 import SaveTrainingSettingsRequest, TrainingSettings
from tessera.segmentation.v1 import cluster_pb2, destination_pb2
from tessera.segmentation.v1 import customer_list_pb2 as customer_list
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation

from services.__main__ import NAMES
from tests.conftest import Keyring
from tests.shelf_events import drawn, seen, trial
from tests.tenant_prices import learn_prices
from tests.whole_platform import until

DAYS = 30
"""How many days before today have an order."""
REGULARS = 30
"""How many more customers come back, after everything else."""
DAY_SECONDS = 24 * 60 * 60
FOLLOWERS = ("segmentation", "recommendation", "forecasting", "loyalty")


class Tenant:
    """One tenant. What it names itself begins with its own name; what the services name is in the attributes."""

    def __init__(self, tenant: str, channels: Mapping[str, grpc.aio.Channel], keyring: Keyring) -> None:
        self.tenant, self.metadata = tenant, keyring.header(tenant)
        self.stubs: dict[str, Any] = {
            name: getattr(
                importlib.import_module(f"tessera.{name}.v1.{name}_service_pb2_grpc"), f"{name.capitalize()}ServiceStub"
            )(channels[name])
            for name in NAMES
        }
        self.list_id = self.goal_id = self.destination_id = ""
        self.customer_id = self.segment_id = self.template_id = self.campaign_id = ""
        self.study_job_id = self.clustering_id = self.lookalike_id = ""
        self.training_job_id = self.fitting_job_id = self.model_version = self.dead_letter_id = ""
        self.recommendation_id = ""
        self.write_key_id = self.write_key = self.coupon_job_id = self.quote_id = self.merge_id = ""
        self.redemption_id = self.referral_code = self.pricing_job_id = ""
        self.erasure_id = self.export_id = ""
        self.regular_ids: list[str] = []
        self.identity_settings = IdentitySettings()

    def own(self, noun: str) -> str:
        """The name that this tenant gives to something."""
        return f"{self.tenant}-{noun}"

    @staticmethod
    def contract(service: str) -> Any:
        """The module with a service's messages."""
        return importlib.import_module(f"tessera.{service}.v1.{service}_service_pb2")

    async def call(self, service: str, rpc: str, request: Any) -> Any:
        """The answer to this tenant."""
        return await getattr(self.stubs[service], rpc)(request, metadata=self.metadata, timeout=30)

    async def open(self) -> None:
        """Make everything."""
        await self._offer()
        await self._sell()
        await self._learn()
        await self._write()
        await self._return()
        self.pricing_job_id = await learn_prices(self)

    @property
    def names(self) -> set[str]:
        """What tells that an answer holds something of this tenant."""
        given = {self.customer_id, self.erasure_id, self.segment_id, self.template_id, self.campaign_id}
        return {self.tenant, *given, self.merge_id, self.training_job_id, self.fitting_job_id, self.model_version} - {
            ""
        }

    async def _offer(self) -> None:
        """A catalogue and a programme, which orders meet."""
        items = [
            item_pb.Item(item_id=self.own(noun), title=self.own(noun), categories=[self.own(noun)])
            for noun in ("milk", "bread")
        ]
        upsert = recommendation.UpsertItemsRequest(request_id="items", items=items)
        await self.call("recommendation", "UpsertItems", upsert)
        home = Placement(placement_id=self.own("home"), scenario=SCENARIO_POPULAR)
        await self.call("recommendation", "SavePlacement", SavePlacementRequest(request_id="home", placement=home))
        own = TrainingSettings(half_life_duration=Duration(seconds=86_400 * len(self.tenant)))
        settings = SaveTrainingSettingsRequest(request_id="settings", settings=own)
        await self.call("recommendation", "SaveTrainingSettings", settings)
        drift = SaveDriftSettingsRequest(request_id="drift", settings=DriftSettings(psi=1.0))
        await self.call("recommendation", "SaveDriftSettings", drift)
        events = [seen(self, FEEDBACK_KIND_IMPRESSION), *drawn(self)]
        await self.call("recommendation", "RecordFeedback", RecordFeedbackRequest(request_id="seen", events=events))
        start = StartExperimentRequest(request_id="trial", experiment=trial(self))
        await self.call("recommendation", "StartExperiment", start)
        program = loyalty.CreateProgramRequest(
            program_id=self.own("club"), name=self.own("club"), currency="USD", points_per_100_minor=1, request_id="p"
        )
        await self.call("loyalty", "CreateProgram", program)
        reward = loyalty.CreateRewardRequest(
            program_id=self.own("club"), reward_id=self.own("mug"), name="Mug", cost_points=1, request_id="w"
        )
        await self.call("loyalty", "CreateReward", reward)
        await self._promote()

    async def _promote(self) -> None:
        """Coupons, and an order that used one."""
        for noun, code, pattern in (("spring", self.own("spring"), ""), ("unique", "", "U-########")):
            opened = coupon_pb2.CouponCampaign(
                campaign_id=self.own(noun), name=noun, currency="USD", code=code, pattern=pattern
            )
            create = coupon_pb2.CreateCouponCampaignRequest(campaign=opened, request_id=noun)
            await self.call("loyalty", "CreateCouponCampaign", create)
        make = coupon_pb2.GenerateCouponsRequest(campaign_id=self.own("unique"), count=2, request_id="make")
        self.coupon_job_id = (await self.call("loyalty", "GenerateCoupons", make)).job.job_id
        coupons = [coupon_pb2.PresentedCoupon(code=self.own("spring"))]
        redeem = coupon_pb2.RedeemCouponsRequest(
            order_id=self.own("checkout"), coupons=coupons, cart=self.cart(), request_id="use"
        )
        await self.call("loyalty", "RedeemCoupons", redeem)
        for noun, share in (("tenth", 1000), ("fifth", 500)):
            action = offer_pb2.OfferAction(order_share=offer_pb2.ShareOff(share=share))
            made = offer_pb2.Offer(offer_id=self.own(noun), name=noun, currency="USD", action=action)
            await self.call("loyalty", "CreateOffer", offer_pb2.CreateOfferRequest(offer=made, request_id=noun))
        await self._price()
        keep = offer_pb2.KeepQuoteRequest(cart=self.cart(), request_id="keep")
        self.quote_id = (await self.call("loyalty", "KeepQuote", keep)).quote.quote_id
        commit = offer_pb2.CommitCartRequest(order_id=self.own("bought"), cart=self.cart(), request_id="buy")
        await self.call("loyalty", "CommitCart", commit)
        await self._refer()

    async def _price(self) -> None:
        """A policy of personal prices, and an offer that has one for everybody."""
        policy = pricing_pb2.PricingPolicy(
            enabled=True, consent_purpose=self.own("news"), segment_ids=[self.own("vip")]
        )
        decide = pricing_pb2.SetPricingPolicyRequest(policy=policy, request_id="on")
        await self.call("loyalty", "SetPricingPolicy", decide)
        share = pricing_pb2.PersonalShare(max_share=500, cost_share=5000)
        made = offer_pb2.Offer(
            offer_id=self.own("personal"),
            name="Personal",
            currency="USD",
            action=offer_pb2.OfferAction(personal_share=share),
        )
        await self.call("loyalty", "CreateOffer", offer_pb2.CreateOfferRequest(offer=made, request_id="personal"))

    async def _refer(self) -> None:
        """A reward that is set aside, and a friend who was brought."""
        taker, club = self.own("taker"), self.own("club")
        earn = loyalty.EarnPointsRequest(program_id=club, member_id=taker, points=9, request_id="nine")
        await self.call("loyalty", "EarnPoints", earn)
        reserve = reward_pb2.ReserveRewardRequest(
            program_id=club, member_id=taker, reward_id=self.own("mug"), request_id=self.own("take")
        )
        self.redemption_id = (await self.call("loyalty", "ReserveReward", reserve)).redemption.redemption_id
        campaign = referral_pb2.ReferralCampaign(
            campaign_id=self.own("friends"), name="Friends", program_id=club, currency="USD", friend_points=1
        )
        create = referral_pb2.CreateReferralCampaignRequest(campaign=campaign, request_id="friends")
        await self.call("loyalty", "CreateReferralCampaign", create)
        issue = referral_pb2.IssueReferralCodeRequest(
            campaign_id=self.own("friends"), customer_id=taker, request_id="issue"
        )
        self.referral_code = (await self.call("loyalty", "IssueReferralCode", issue)).code
        bring = referral_pb2.AttributeReferralRequest(
            code=self.referral_code, friend_id=self.own("friend"), request_id="bring"
        )
        await self.call("loyalty", "AttributeReferral", bring)
        compare = leaderboard_pb2.CreateLeaderboardRequest(
            program_id=self.own("club"),
            leaderboard=leaderboard_pb2.Leaderboard(
                leaderboard_id="most-points", name="Most points", metric=leaderboard_pb2.LEADERBOARD_METRIC_POINTS
            ),
            request_id="leaderboard",
        )
        await self.call("loyalty", "CreateLeaderboard", compare)
        sector = wheel_pb2.WheelSector(label="5 points", weight=1, prize_points=5)
        luck = wheel_pb2.Wheel(wheel_id="luck", name="Luck", sectors=[sector])
        make = wheel_pb2.CreateWheelRequest(program_id=club, wheel=luck, request_id="wheel")
        await self.call("loyalty", "CreateWheel", make)
        spin = wheel_pb2.SpinWheelRequest(
            program_id=club, wheel_id="luck", member_id=self.own("spinner"), request_id="spin"
        )
        await self.call("loyalty", "SpinWheel", spin)
        share = shared_account_pb2.OpenSharedAccountRequest(
            program_id=club, account_id="home", users_max=2, owner_id=self.own("sharer"), request_id="share"
        )
        await self.call("loyalty", "OpenSharedAccount", share)

    def cart(self) -> cart_pb2.Cart:
        """A cart with milk."""
        line = cart_pb2.CartLine(line_id="1", item_id=self.own("milk"), quantity=1, price_minor=500)
        return cart_pb2.Cart(shopper=cart_pb2.Shopper(customer_id=self.own("ann")), currency="USD", lines=[line])

    async def _sell(self) -> None:
        """An order a day to one customer, which every follower has applied when this returns."""
        today = int(time.time()) // DAY_SECONDS * DAY_SECONDS
        orders = [self._order(f"o{day}", today - day * DAY_SECONDS) for day in range(DAYS, 0, -1)]
        traits = json.dumps({"email": f"{self.own('ann')}@example.com"})
        known = profiles.Event(
            message_id="m0", type=profiles.EVENT_TYPE_IDENTIFY, user_id=self.own("ann"), traits_json=traits
        )
        await self.call("profiles", "IngestEvents", profiles.IngestEventsRequest(events=[known, *orders]))
        person = profiles.Identifier(type="user_id", value=self.own("ann"))
        found = await self.call("profiles", "GetCustomer", profiles.GetCustomerRequest(identifier=person))
        self.customer_id = found.customer.customer_id
        await self._allow()
        await self._mistake()

    async def _allow(self) -> None:
        """A consent."""
        granted = consent.NewConsentStatement(
            person=person_pb2.Person(customer_id=self.customer_id),
            purpose=self.own("news"),
            state=consent.CONSENT_STATE_GRANTED,
        )
        await self.call("profiles", "SetConsents", consent.SetConsentsRequest(statements=[granted]))

    async def _forget(self) -> None:
        """A person who is erased."""
        seen = profiles.Event(
            message_id="gone", type=profiles.EVENT_TYPE_TRACK, name="Store Visited", user_id=self.own("gone")
        )
        await self.call("profiles", "IngestEvents", profiles.IngestEventsRequest(events=[seen]))
        name = person_pb2.PersonIdentifier(type="user_id", value=self.own("gone"))
        request = erasure_pb2.EraseCustomersRequest(persons=[person_pb2.Person(identifier=name)])
        self.erasure_id = (await self.call("profiles", "EraseCustomers", request)).erasures[0].erasure_id
        left = person_pb2.PersonIdentifier(type="user_id", value=self.own("leaver"))
        refuse = erasure_pb2.SuppressIdentifiersRequest(identifiers=[left], reason=self.own("gone"))
        await self.call("profiles", "SuppressIdentifiers", refuse)

    async def _mistake(self) -> None:
        """An event that is rejected, for lack of a name; a key for a source; and a schema of an event."""
        put = event_schema_pb2.PutEventSchemaRequest(
            event_name=self.own("scan"), schema_json="{}", mode=event_schema_pb2.SCHEMA_MODE_REJECT
        )
        await self.call("profiles", "PutEventSchema", put)
        compute = computed_trait_pb2.CreateComputedTraitRequest(computed_trait=self.computed_trait())
        defined = await self.call("profiles", "CreateComputedTrait", compute)
        self.backfill_job_id = defined.computed_trait.job_id
        begin = transfer_pb2.CreateImportRequest(
            kind=transfer_pb2.IMPORT_KIND_CUSTOMERS, format=transfer_pb2.TABLE_FORMAT_CSV
        )
        begun = await self.call("profiles", "CreateImport", begin)
        self.import_id = getattr(begun, "import").import_id
        nameless = profiles.Event(message_id="m1", type=profiles.EVENT_TYPE_TRACK, user_id=self.own("ann"))
        await self.call("profiles", "IngestEvents", profiles.IngestEventsRequest(events=[nameless]))
        found = await self.call("profiles", "ListDeadLetters", profiles.ListDeadLettersRequest())
        self.dead_letter_id = found.dead_letters[0].dead_letter_id
        create = profiles.CreateWriteKeyRequest(request_id="w", name=self.own("site"))
        made = await self.call("profiles", "CreateWriteKey", create)
        self.write_key_id, self.write_key = made.write_key.write_key_id, made.secret

    async def _return(self) -> None:
        """Customers who come back, and what they are expected to do. The last step: the others know one customer."""
        today = int(time.time()) // DAY_SECONDS * DAY_SECONDS
        orders = [
            self._order(f"r{number}-{day}", today - (day + number % 9) * DAY_SECONDS, self.own(f"regular{number}"))
            for number in range(REGULARS)
            for day in (20, 11, 2)
        ]
        await self.call("profiles", "IngestEvents", profiles.IngestEventsRequest(events=orders))
        await self._sign_in()
        await until(self._applied)
        await self._forget()
        fit = forecasting.FitCustomerModelRequest(request_id=self.own("customers"), horizon_days=7)
        fit.as_of_time.seconds = today - 8 * DAY_SECONDS  # so that its horizon has passed
        job = (await self.call("forecasting", "FitCustomerModel", fit)).job
        await until(lambda: self._succeeded("forecasting", forecasting, job.job_id))
        for request in (self.likely(), self.likely_then()):
            job = (await self.call("forecasting", "FitPropensityModel", request)).job
            await until(lambda job=job: self._succeeded("forecasting", forecasting, job.job_id))  # type: ignore[misc]
        job = (await self.call("forecasting", "FitCategoryPreferences", self.preferring())).job
        await until(lambda: self._succeeded("forecasting", forecasting, job.job_id))
        await self._experiment()
        await self._study()
        await self._advertise()

    async def _study(self) -> None:
        """Clusters, and who resembles those who bought within a week."""
        cluster = cluster_pb2.StartClusteringRequest(request_id=self.own("clusters"))
        self.study_job_id = (await self.call("segmentation", "StartClustering", cluster)).job.job_id
        lately = bought()
        lately.event.window.within.seconds = 8 * DAY_SECONDS
        create = segmentation.CreateSegmentRequest(name=self.own("lately"), rule=lately)
        seeds = (await self.call("segmentation", "CreateSegment", create)).segment.segment_id
        await self.call("segmentation", "RefreshSegment", segmentation.RefreshSegmentRequest(segment_id=seeds))
        alike = cluster_pb2.StartLookalikeRequest(name=self.own("alike"), segment_id=seeds)
        job_id = (await self.call("segmentation", "StartLookalike", alike)).job.job_id
        for each in (self.study_job_id, job_id):
            await until(functools.partial(self._studied, each))
        get = cluster_pb2.GetStudyJobRequest(job_id=job_id)
        self.lookalike_id = (await self.call("segmentation", "GetStudyJob", get)).job.results["lookalike_id"]
        newest = await self.call("segmentation", "GetClustering", cluster_pb2.GetClusteringRequest())
        self.clustering_id = newest.clustering.clustering_id

    async def _advertise(self) -> None:
        """Spend on a channel, and what it brought in."""
        days = [time.strftime("%Y-%m-%d", time.gmtime(time.time() - day * DAY_SECONDS)) for day in range(DAYS, 0, -1)]
        spend = [self.spend(day, 100 * (1 + number % 5)) for number, day in enumerate(days)]
        record = media_mix_pb2.RecordSpendRequest(request_id=self.own("spend"), spend=spend)
        await self.call("forecasting", "RecordSpend", record)
        fit = media_mix_pb2.FitMediaMixRequest(request_id=self.own("mix"), daily=True)
        job = (await self.call("forecasting", "FitMediaMix", fit)).job
        await until(lambda: self._succeeded("forecasting", forecasting, job.job_id))
        self.goal_id = (await self.call("forecasting", "CreateGoal", self.goal())).goal.goal_id

    async def _experiment(self) -> None:
        """Every other regular was treated, three days ago."""
        for number in range(REGULARS):
            person = profiles.Identifier(type="user_id", value=self.own(f"regular{number}"))
            request = profiles.GetCustomerRequest(identifier=person)
            found = await self.call("profiles", "GetCustomer", request)
            self.regular_ids.append(found.customer.customer_id)
        await self.call("forecasting", "RecordTreatments", self.treated())
        job = (await self.call("forecasting", "FitUpliftModel", self.gained())).job
        await until(lambda: self._succeeded("forecasting", forecasting, job.job_id))

    def treated(self) -> uplift_pb2.RecordTreatmentsRequest:
        """Who was treated."""
        start = int(time.time()) // DAY_SECONDS * DAY_SECONDS - 14 * DAY_SECONDS - 1
        request = uplift_pb2.RecordTreatmentsRequest(request_id=self.own("treated"), experiment_id=self.own("mailing"))
        for number, customer_id in enumerate(self.regular_ids):
            treatment = request.treatments.add(customer_id=customer_id, treated=number % 2 == 0)
            treatment.treatment_time.seconds = start
        return request

    def gained(self) -> uplift_pb2.FitUpliftModelRequest:
        """A model of what the mailing changed."""
        goal = propensity_pb2.PropensityGoal(horizon_days=7)
        return uplift_pb2.FitUpliftModelRequest(
            request_id=self.own("gained"), model_id=self.own("mailed"), experiment_id=self.own("mailing"), goal=goal
        )

    def likely(self) -> propensity_pb2.FitPropensityModelRequest:
        """A model of who orders within a week."""
        goal = propensity_pb2.PropensityGoal(horizon_days=7)
        return propensity_pb2.FitPropensityModelRequest(
            request_id=self.own("likely"), model_id=self.own("weekly"), goal=goal
        )

    def preferring(self) -> category_preference_pb2.FitCategoryPreferencesRequest:
        """Of which categories customers were likely to buy three days ago, within the two days after it."""
        request = category_preference_pb2.FitCategoryPreferencesRequest(
            request_id=self.own("preferring"), horizon_days=2
        )
        request.as_of_time.seconds = self.likely_then().as_of_time.seconds
        return request

    def likely_then(self) -> propensity_pb2.FitPropensityModelRequest:
        """What was to be expected three days ago of the two days after it, which have passed."""
        goal = propensity_pb2.PropensityGoal(horizon_days=2)
        request = propensity_pb2.FitPropensityModelRequest(
            request_id=self.own("then"), model_id=self.own("past"), goal=goal
        )
        request.as_of_time.seconds = (int(time.time()) // DAY_SECONDS - 3) * DAY_SECONDS - 1
        return request

    def goal(self) -> demand_pb2.CreateGoalRequest:
        """Units of one of this tenant's categories in a year."""
        return demand_pb2.CreateGoalRequest(
            request_id=self.own("goal"),
            name=self.own("goal"),
            measure=series_pb2.MEASURE_UNITS,
            dimension=series_pb2.DIMENSION_CATEGORY,
            value=self.own("food"),
            first_date="2026-01-01",
            last_date="2026-12-31",
            target=1000,
        )

    def spend(self, day: str = "2026-01-01", amount_minor: int = 100) -> media_mix_pb2.Spend:
        """Spend of this tenant on its one channel."""
        amount = money_pb2.Money(currency="USD", amount_minor=amount_minor)
        return media_mix_pb2.Spend(channel=self.own("search"), date=day, amount=amount)

    async def _sign_in(self) -> None:
        """A visitor who turns out to be a customer: a merge. And a name that nobody is known by."""
        visit, sign_in = (
            profiles.Event(
                message_id=f"v{number}",
                type=profiles.EVENT_TYPE_PAGE,
                name="Home",
                user_id=user_id,
                anonymous_id=self.own("tablet"),
            )
            for number, user_id in enumerate(("", self.own("regular0")))
        )
        await self.call("profiles", "IngestEvents", profiles.IngestEventsRequest(events=[visit, sign_in]))
        (merge,) = (await self.call("profiles", "ListMerges", ListMergesRequest())).merges
        self.merge_id = merge.merge_id
        add = AddGroupMembersRequest(
            request_id="home", group_id=self.own("home"), member_customer_ids=[self.customer_id]
        )
        await self.call("profiles", "AddGroupMembers", add)
        export = customer_export_pb2.ExportCustomerRequest(person=person_pb2.Person(customer_id=self.customer_id))
        self.export_id = (await self.call("profiles", "ExportCustomer", export)).job.export_id
        await until(self._exported)
        settings = (await self.call("profiles", "GetIdentitySettings", GetIdentitySettingsRequest())).settings
        settings.blocked_values.append(self.own("robot"))
        update = UpdateIdentitySettingsRequest(request_id="identity", settings=settings)
        await self.call("profiles", "UpdateIdentitySettings", update)
        self.identity_settings = settings

    async def _exported(self) -> bool:
        get = customer_export_pb2.GetExportJobRequest(export_id=self.export_id)
        return bool((await self.call("profiles", "GetExportJob", get)).job.available)

    def _order(self, order_id: str, seconds: int, user_id: str = "") -> profiles.Event:
        lines = [
            {"product_id": self.own(noun), "price": 5, "quantity": 2, "category": self.own(category)}
            for noun, category in (("milk", "food"), ("bread", "bakery"))
        ]
        return profiles.Event(
            message_id=order_id,
            type=profiles.EVENT_TYPE_TRACK,
            name="Order Completed",
            user_id=user_id or self.own("ann"),
            event_time=Timestamp(seconds=seconds),
            properties_json=json.dumps({"order_id": order_id, "currency": "USD", "products": lines}),
        )

    async def _learn(self) -> None:
        """A segment with its member, a model, a forecast."""
        await until(self._applied)
        create = segmentation.CreateSegmentRequest(name=self.own("buyers"), rule=bought())
        self.segment_id = (await self.call("segmentation", "CreateSegment", create)).segment.segment_id
        refresh = segmentation.RefreshSegmentRequest(segment_id=self.segment_id)
        assert (await self.call("segmentation", "RefreshSegment", refresh)).segment.member_count == 1
        listed = customer_list.CreateCustomerListRequest(request_id="l", name=self.own("list"))
        self.list_id = (await self.call("segmentation", "CreateCustomerList", listed)).list.list_id
        await self._send()
        train = recommendation.TrainModelRequest(request_id=self.own("train"), dimensions=8)
        self.training_job_id = (await self.call("recommendation", "TrainModel", train)).job.job_id
        await self._drive()
        fit = forecasting.FitForecastsRequest(request_id=self.own("fit"), specs=[self.spec()])
        self.fitting_job_id = (await self.call("forecasting", "FitForecasts", fit)).job.job_id
        await until(lambda: self._succeeded("recommendation", recommendation, self.training_job_id))
        await until(lambda: self._succeeded("forecasting", forecasting, self.fitting_job_id))
        models = await self.call("recommendation", "ListModels", recommendation.ListModelsRequest())
        self.model_version = models.models[0].model_version
        ask = recommendation.RecommendRequest(placement_id=self.own("home"), count=1, resumable=True)
        page = (await self.call("recommendation", "Recommend", ask)).recommendations
        assert page.HasField("resumable_until_time")
        self.recommendation_id = page.recommendation_id

    async def _drive(self) -> None:
        """A promotion that sales may follow, and a holiday."""
        await self.call("forecasting", "PutDriver", self.driver())
        await self.call("forecasting", "RecordDriverValues", self.driver_values())
        await self.call("forecasting", "PutHolidayCalendar", self.holidays())

    def driver(self) -> drivers_pb2.PutDriverRequest:
        """A promotion."""
        return drivers_pb2.PutDriverRequest(
            request_id=self.own("driver"), name=f"{self.tenant}_promotion", default_value=0
        )

    def driver_values(self) -> drivers_pb2.RecordDriverValuesRequest:
        """When it was."""
        on = drivers_pb2.DriverValue(
            driver=f"{self.tenant}_promotion",
            dimension=series_pb2.DIMENSION_TOTAL,
            first_date=time.strftime("%Y-%m-%d", time.gmtime(time.time() - 5 * DAY_SECONDS)),
            number=1,
        )
        return drivers_pb2.RecordDriverValuesRequest(request_id=self.own("promotion"), values=[on])

    def holidays(self) -> drivers_pb2.PutHolidayCalendarRequest:
        """A day of this tenant's own."""
        own = drivers_pb2.CustomHoliday(name=self.own("day"), dates=["2026-05-01"])
        return drivers_pb2.PutHolidayCalendarRequest(
            request_id=self.own("holidays"), calendar=drivers_pb2.HolidayCalendar(days=[own])
        )

    def computed_trait(self) -> computed_trait_pb2.ComputedTrait:
        """How often somebody bought something."""
        kind = computed_trait_pb2.COMPUTED_TRAIT_KIND_EVENT_COUNTER
        return computed_trait_pb2.ComputedTrait(name=f"{self.tenant}_orders", kind=kind, event_name="Order Completed")

    def spec(self) -> forecasting.ForecastSpec:
        """Daily sales of this tenant's one category."""
        return forecasting.ForecastSpec(
            measure=series_pb2.MEASURE_SALES,
            dimension=series_pb2.DIMENSION_CATEGORY,
            values=[self.own("food")],
            granularity=series_pb2.GRANULARITY_DAY,
            horizon=7,
        )

    def forecast_key(self) -> forecasting.ForecastKey:
        """The one series that is forecast."""
        spec = self.spec()
        return forecasting.ForecastKey(
            measure=spec.measure,
            dimension=spec.dimension,
            value=spec.values[0],
            granularity=spec.granularity,
            horizon=spec.horizon,
        )

    async def _send(self) -> None:
        """A destination, to which nothing goes."""
        create = destination_pb2.CreateDestinationRequest(
            request_id="send",
            name=self.own("ads"),
            url="https://example.com/hook",
            transitions=destination_pb2.TransitionPush(),
        )
        made = (await self.call("segmentation", "CreateDestination", create)).destination
        pause = destination_pb2.PauseDestinationRequest(destination_id=made.destination_id)
        await self.call("segmentation", "PauseDestination", pause)
        self.destination_id = made.destination_id

    async def _write(self) -> None:
        """A campaign whose one message waits for a mail server that does not answer."""
        content = crm.Content(subject=self.own("news"), text="Hello")
        template = crm.CreateTemplateRequest(name=self.own("letter"), content=content)
        self.template_id = (await self.call("crm", "CreateTemplate", template)).template.template_id
        campaign = crm.CreateCampaignRequest(
            name=self.own("campaign"),
            channel=crm.CHANNEL_EMAIL,
            segment_id=self.segment_id,
            template_id=self.template_id,
            sender=crm.Sender(address="shop@example.com"),
        )
        self.campaign_id = (await self.call("crm", "CreateCampaign", campaign)).campaign.campaign_id
        await self.call("crm", "StartCampaign", crm.StartCampaignRequest(campaign_id=self.campaign_id))
        await until(self._has_a_message)

    async def _applied(self) -> bool:
        end = (await self.call("profiles", "GetStatistics", profiles.GetStatisticsRequest())).end_cursor
        contracts = (segmentation, recommendation, forecasting, loyalty)
        reached = [
            (await self.call(name, "GetStatus", contract.GetStatusRequest())).applied_cursor
            for name, contract in zip(FOLLOWERS, contracts, strict=True)
        ]
        return set(reached) == {end}

    async def _succeeded(self, service: str, contract: Any, job_id: str) -> bool:
        job = (await self.call(service, "GetJob", contract.GetJobRequest(job_id=job_id))).job
        assert job.state != job_pb2.JOB_STATE_FAILED, job
        return bool(job.state == job_pb2.JOB_STATE_SUCCEEDED)

    async def _studied(self, job_id: str) -> bool:
        get = cluster_pb2.GetStudyJobRequest(job_id=job_id)
        job = (await self.call("segmentation", "GetStudyJob", get)).job
        assert job.state != job_pb2.JOB_STATE_FAILED, job
        return bool(job.state == job_pb2.JOB_STATE_SUCCEEDED)

    async def _has_a_message(self) -> bool:
        request = crm.ListMessagesRequest(campaign_id=self.campaign_id)
        return len((await self.call("crm", "ListMessages", request)).messages) == 1


def bought() -> rule_pb2.Rule:
    """Who has an order."""
    return rule_pb2.Rule(
        event=rule_pb2.EventCondition(
            event="Order Completed",
            aggregate=rule_pb2.AGGREGATE_COUNT,
            operator=rule_pb2.OPERATOR_AT_LEAST,
            values=[rule_pb2.Value(number_value=1)],
        )
    )


def in_segment(segment_id: str) -> rule_pb2.Rule:
    """Who is in a segment."""
    return rule_pb2.Rule(segment=rule_pb2.SegmentCondition(segment_id=segment_id))
