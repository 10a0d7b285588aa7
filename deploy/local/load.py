"""The main job of ``make run``: everything goes in through the public rpcs, as a user's own data would."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from rich.progress import Progress
from tessera.common.v1 import job_pb2, rule_pb2
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting
from tessera.forecasting.v1 import series_pb2
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as recommendation
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from deploy.local import journey, kept
from deploy.local.journey import Journey
from services.common.errors import Unavailable

BATCH_EVENTS = 1000
BATCH_ITEMS = 1000
BATCHES_AHEAD = 2
POLL_SECONDS = 0.25
PROGRAM_ID = "rewards"
REWARD_ID = "five-off"
MARKER = "journey.json"
SHIFT = "shift_weeks"
T = TypeVar("T")


class JobFailed(Unavailable):
    """A job of the main job failed."""


class EventsRejected(Unavailable):
    """Profiles refused an event of the sample data."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the main job made, kept beside the data so that a second start finds it."""

    shift_weeks: int
    segment_id: str
    campaign_id: str
    customer_id: str
    """Whom the tour shows, and who redeems points in it."""

    def write(self, folder: Path) -> None:
        """Keep it."""
        kept.write(folder / MARKER, json.dumps({name: getattr(self, name) for name in self.__slots__}))


def loaded(folder: Path) -> Loaded | None:
    """What an earlier main job made; ``None`` before it has ended."""
    return kept.read(folder / MARKER, lambda text: Loaded(**json.loads(text)))


def shift_weeks(folder: Path) -> int | None:
    """By how many weeks the times of an earlier main job moved, even if it has not ended."""
    return kept.read(folder / SHIFT, int)


def keep_shift(folder: Path, weeks: int) -> None:
    """Let a main job that goes on after this one move times by as many weeks."""
    kept.write(folder / SHIFT, str(weeks))


class Shop:
    """A client of the six services on behalf of one tenant."""

    def __init__(self, channels: dict[str, grpc.aio.Channel], token: str) -> None:
        self.token = (("authorization", f"Bearer {token}"),)
        self.profiles = ProfilesServiceStub(channels["profiles"])
        self.segmentation = SegmentationServiceStub(channels["segmentation"])
        self.recommendation = RecommendationServiceStub(channels["recommendation"])
        self.forecasting = ForecastingServiceStub(channels["forecasting"])
        self.loyalty = LoyaltyServiceStub(channels["loyalty"])
        self.crm = CrmServiceStub(channels["crm"])

    async def call(self, method: Any, request: Any) -> Any:
        """Call ``method``; ``Unavailable`` if it fails."""
        try:
            return await method(request, metadata=self.token, timeout=120)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"{type(request).__name__} failed: {error.code().name}: {error.details()}") from error


async def load(shop: Shop, data: Journey, progress: Progress) -> Loaded:
    """Do the main job, with a bar for each stage."""
    await _open_program(shop)
    await _load_items(shop, data, progress)
    await _load_events(shop, data, progress)
    await _learn(shop, progress)
    segment_id = await _create_segment(shop)
    campaign_id = await _run_campaign(shop, segment_id, progress)
    return Loaded(data.shift_weeks, segment_id, campaign_id, await _most_points(shop, segment_id))


async def _open_program(shop: Shop) -> None:
    await shop.call(
        shop.loyalty.CreateProgram,
        loyalty.CreateProgramRequest(
            program_id=PROGRAM_ID,
            name="Rewards",
            currency=journey.CURRENCY,
            points_per_100_minor=1,
            validity_months=12,
            qualification=loyalty.QUALIFICATION_ROLLING_YEAR_POINTS,
            tiers=[
                loyalty.Tier(tier_id="silver", name="Silver", threshold=1000),
                loyalty.Tier(tier_id="gold", name="Gold", threshold=2500),
                loyalty.Tier(tier_id="platinum", name="Platinum", threshold=5000),
            ],
            request_id="journey-program",
        ),
    )
    await shop.call(
        shop.loyalty.CreateReward,
        loyalty.CreateRewardRequest(
            program_id=PROGRAM_ID,
            reward_id=REWARD_ID,
            name="5 dollars off",
            cost_points=500,
            stock_count=1000,
            request_id="journey-reward",
        ),
    )


async def _load_items(shop: Shop, data: Journey, progress: Progress) -> None:
    task = progress.add_task("products to recommendation", total=len(data.products))

    async def send(number: int, batch: Sequence[item_pb.Item]) -> None:
        request = recommendation.UpsertItemsRequest(request_id=f"journey-items-{number}", items=batch)
        await shop.call(shop.recommendation.UpsertItems, request)
        progress.advance(task, len(batch))

    await _send_all(journey.items(data), BATCH_ITEMS, send)


async def _load_events(shop: Shop, data: Journey, progress: Progress) -> None:
    task = progress.add_task("customers, orders and contacts to profiles", total=data.event_count)

    async def send(number: int, batch: Sequence[profiles.Event]) -> None:
        answer = await shop.call(shop.profiles.IngestEvents, profiles.IngestEventsRequest(events=batch))
        if answer.rejections:
            raise EventsRejected(f"{answer.rejections[0].message_id}: {answer.rejections[0].message}")
        progress.advance(task, len(batch))

    await _send_all(itertools.chain(journey.households(data), journey.actions(data)), BATCH_EVENTS, send)


async def _send_all(elements: Iterable[T], size: int, send: Callable[[int, Sequence[T]], Awaitable[None]]) -> None:
    """Send in batches, a few of them ahead of the answers, so that this process and the service work at once."""
    ahead: set[asyncio.Task[None]] = set()
    try:
        for number, batch in enumerate(_batches(elements, size)):
            ahead.add(asyncio.ensure_future(send(number, batch)))
            if len(ahead) > BATCHES_AHEAD:
                done, ahead = await asyncio.wait(ahead, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.gather(*done)
        await asyncio.gather(*ahead)
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


def _batches(elements: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(elements)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


async def _learn(shop: Shop, progress: Progress) -> None:
    """Wait until every follower has applied what profiles recorded; train and fit as soon as those who do have it."""
    statistics = await shop.call(shop.profiles.GetStatistics, profiles.GetStatisticsRequest())
    task = progress.add_task("the others learn from profiles' feed", total=4)

    async def caught_up(method: Any, request: Any) -> None:
        while True:
            if (await shop.call(method, request)).applied_cursor == statistics.end_cursor:
                break
            await asyncio.sleep(POLL_SECONDS)
        progress.advance(task)

    async def train() -> None:
        await caught_up(shop.recommendation.GetStatus, recommendation.GetStatusRequest())
        await _train(shop, progress)

    async def fit() -> None:
        await caught_up(shop.forecasting.GetStatus, forecasting.GetStatusRequest())
        await asyncio.gather(_fit(shop, progress), _fit_customers(shop, progress))

    await asyncio.gather(
        train(),
        fit(),
        caught_up(shop.segmentation.GetStatus, segmentation.GetStatusRequest()),
        caught_up(shop.loyalty.GetStatus, loyalty.GetStatusRequest()),
    )


async def _train(shop: Shop, progress: Progress) -> None:
    # One way of making the model is measured, not all that there is time for: the tour is not to wait for them.
    request = recommendation.TrainModelRequest(request_id="journey-model", dimensions=128, selection_cpu_seconds=1)
    job = (await shop.call(shop.recommendation.TrainModel, request)).job
    await _finish(shop, progress, "recommendation trains on the baskets", shop.recommendation.GetJob, job,
                  recommendation.GetJobRequest(job_id=job.job_id))  # fmt: skip


async def _fit(shop: Shop, progress: Progress) -> None:
    sales = series_pb2.MEASURE_SALES
    specs = [
        forecasting.ForecastSpec(measure=sales, dimension=dimension, granularity=granularity, horizon=horizon)
        for dimension in (series_pb2.DIMENSION_TOTAL, series_pb2.DIMENSION_CATEGORY)
        for granularity, horizon in ((series_pb2.GRANULARITY_DAY, 56), (series_pb2.GRANULARITY_WEEK, 8))
    ]
    request = forecasting.FitForecastsRequest(request_id="journey-forecasts", specs=specs)
    job = (await shop.call(shop.forecasting.FitForecasts, request)).job
    await _finish(shop, progress, "forecasting fits sales by department", shop.forecasting.GetJob, job,
                  forecasting.GetJobRequest(job_id=job.job_id))  # fmt: skip


async def _fit_customers(shop: Shop, progress: Progress) -> None:
    # One model of purchases, without a choice among three: what is expected is to be seen soon.
    request = forecasting.FitCustomerModelRequest(
        request_id="journey-customers", horizon_days=28, purchase_model=forecasting.PURCHASE_MODEL_BG_NBD
    )
    job = (await shop.call(shop.forecasting.FitCustomerModel, request)).job
    await _finish(shop, progress, "forecasting fits what customers will do", shop.forecasting.GetJob, job,
                  forecasting.GetJobRequest(job_id=job.job_id))  # fmt: skip


async def _finish(shop: Shop, progress: Progress, title: str, get: Any, job: job_pb2.Job, request: Any) -> None:
    task = progress.add_task(title, total=1.0)
    while job.state in (job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING):
        await asyncio.sleep(POLL_SECONDS)
        job = (await shop.call(get, request)).job
        progress.update(task, completed=job.progress)
    if job.state == job_pb2.JOB_STATE_FAILED:
        raise JobFailed(f"{title}: {job.message}")
    progress.update(task, completed=1.0)


def lapsing_rule() -> rule_pb2.Rule:
    """ "Spent at least 100 in the last 28 days and nothing in the last 7"."""
    order = "Order Completed"
    spent = rule_pb2.EventCondition(
        event=order,
        window=rule_pb2.TimeWindow(within=Duration(seconds=28 * 86400)),
        aggregate=rule_pb2.AGGREGATE_SUM,
        property="total",
        operator=rule_pb2.OPERATOR_AT_LEAST,
        values=[rule_pb2.Value(number_value=100)],
    )
    none = rule_pb2.EventCondition(
        event=order,
        window=rule_pb2.TimeWindow(within=Duration(seconds=7 * 86400)),
        aggregate=rule_pb2.AGGREGATE_COUNT,
        operator=rule_pb2.OPERATOR_EQUALS,
        values=[rule_pb2.Value(number_value=0)],
    )
    return rule_pb2.Rule(all_of=rule_pb2.AllOf(rules=[rule_pb2.Rule(event=spent), rule_pb2.Rule(event=none)]))


async def _create_segment(shop: Shop) -> str:
    request = segmentation.CreateSegmentRequest(
        request_id="journey-segment",
        name="Good customers who stay away",
        description="Spent at least 100 in the last 28 days and nothing in the last 7.",
        rule=lapsing_rule(),
    )
    segment_id: str = (await shop.call(shop.segmentation.CreateSegment, request)).segment.segment_id
    await shop.call(shop.segmentation.RefreshSegment, segmentation.RefreshSegmentRequest(segment_id=segment_id))
    return segment_id


async def _most_points(shop: Shop, segment_id: str) -> str:
    """The member of the segment with the most points, who can afford the reward and got the campaign's mail."""
    page = await shop.call(
        shop.segmentation.ListMembers, segmentation.ListMembersRequest(segment_id=segment_id, page_size=1000)
    )
    ids = [member.customer_id for member in page.members]
    request = loyalty.BatchGetMembersRequest(program_id=PROGRAM_ID, member_ids=ids)
    members = (await shop.call(shop.loyalty.BatchGetMembers, request)).members
    if not members:
        raise JobFailed("nobody in the segment has points")
    return str(max(members, key=lambda member: (member.balance_points, member.member_id)).member_id)


async def _run_campaign(shop: Shop, segment_id: str, progress: Progress) -> str:
    template = await shop.call(
        shop.crm.CreateTemplate,
        crm.CreateTemplateRequest(
            request_id="journey-template",
            name="We miss you",
            content=crm.Content(
                subject="Your shop misses you",
                html="<p>Hello{% if customer.household_comp %} to your household of {{ customer.household_size }}"
                "{% endif %},</p>"
                "<p>come back this week and take 5 dollars off.</p>",
                text="Hello,\ncome back this week and take 5 dollars off.\n",
            ),
        ),
    )
    created = await shop.call(
        shop.crm.CreateCampaign,
        crm.CreateCampaignRequest(
            request_id="journey-campaign",
            name="Win back",
            channel=crm.CHANNEL_EMAIL,
            segment_id=segment_id,
            template_id=template.template.template_id,
            sender=crm.Sender(address="shop@example.com", name="The Shop"),
        ),
    )
    campaign_id: str = created.campaign.campaign_id
    start = crm.StartCampaignRequest(request_id="journey-start", campaign_id=campaign_id)
    await shop.call(shop.crm.StartCampaign, start)
    await _sent(shop, campaign_id, progress)
    return campaign_id


async def _sent(shop: Shop, campaign_id: str, progress: Progress) -> None:
    task = progress.add_task("crm sends the campaign", total=None)
    while True:
        campaign = (await shop.call(shop.crm.GetCampaign, crm.GetCampaignRequest(campaign_id=campaign_id))).campaign
        counts = campaign.counts
        ended = counts.sent_count + counts.failed_count + counts.skipped_count
        progress.update(task, total=counts.audience_count or None, completed=ended)
        if campaign.state == crm.CAMPAIGN_STATE_COMPLETED:
            return
        if campaign.state not in (crm.CAMPAIGN_STATE_RUNNING, crm.CAMPAIGN_STATE_SCHEDULED):
            raise JobFailed(f"the campaign stopped: {campaign.problem}")
        await asyncio.sleep(POLL_SECONDS)
