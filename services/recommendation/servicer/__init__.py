"""gRPC in, use case, gRPC out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from tessera.recommendation.v1 import recommendation_service_pb2 as pb

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.job_messages import to_proto
from services.common.jobs import Jobs
from services.recommendation.domain.drift import Drift
from services.recommendation.domain.feedback import Origin
from services.recommendation.domain.model import Training
from services.recommendation.domain.recommendation import RecommendationList
from services.recommendation.handlers.bought_together import find_together
from services.recommendation.handlers.catalogue import batch_get_items, delete_item, get_item, list_items, upsert_items
from services.recommendation.handlers.next_items import question_of
from services.recommendation.handlers.placements import Placing, Visit, recommend_for_placement
from services.recommendation.handlers.recommend import Asker, Sources, Wish, recommend, recommend_one
from services.recommendation.handlers.related import find_similar_items
from services.recommendation.handlers.training import get_status, rollback_model, train_model
from services.recommendation.ports import OpenLists, Parameters, Requests, SettingsStore, TrainingJobs
from services.recommendation.ports.drift_settings import DriftSettingsStore
from services.recommendation.servicer.bought_together import read_variant
from services.recommendation.servicer.composition import CompositionRpcs
from services.recommendation.servicer.customer_vectors import CustomerVectorRpcs
from services.recommendation.servicer.demand import DemandRpcs
from services.recommendation.servicer.drift_settings import DriftSettingsRpcs
from services.recommendation.servicer.feedback import FeedbackRpcs
from services.recommendation.servicer.messages import (
    COUNT_DEFAULT,
    MICROS_A_SECOND,
    Context,
    item_message,
    list_message,
    named,
    page_size,
    read_filter,
    read_item,
    timestamp,
)
from services.recommendation.servicer.next_items import NextItemsRpcs
from services.recommendation.servicer.personal_data import PersonalDataRpcs
from services.recommendation.servicer.placements import PlacementRpcs
from services.recommendation.servicer.policy import PolicyRpcs
from services.recommendation.servicer.scenarios import ScenarioRpcs
from services.recommendation.servicer.training_settings import TrainingSettingsRpcs, weights_message

SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Keeping:
    """The ports of what is not answered from a model alone."""

    requests: Requests
    training_jobs: TrainingJobs
    jobs: Jobs
    settings: SettingsStore
    lists: OpenLists
    drift_settings: DriftSettingsStore


class RecommendationServicer(
    PersonalDataRpcs,
    ScenarioRpcs,
    DemandRpcs,
    NextItemsRpcs,
    CompositionRpcs,
    CustomerVectorRpcs,
    PlacementRpcs,
    FeedbackRpcs,
    TrainingSettingsRpcs,
    PolicyRpcs,
    DriftSettingsRpcs,
):
    """Answers ``tessera.recommendation.v1.RecommendationService``."""

    def __init__(self, sources: Sources, keeping: Keeping, placing: Placing, clock: Clock) -> None:
        self._sources, self._keeping, self._clock = sources, keeping, clock
        self._placing, self._requests, self._settings = placing, keeping.requests, keeping.settings
        self._catalogue, self._lists = sources.catalogue, keeping.lists
        self._drift_settings = keeping.drift_settings

    async def UpsertItems(self, request: pb.UpsertItemsRequest, context: Context) -> pb.UpsertItemsResponse:
        items = [read_item(item) for item in request.items]
        answer = await upsert_items(self._catalogue, self._keeping.requests, named(request), items)
        return pb.UpsertItemsResponse(
            created_count=answer["created"], updated_count=answer["updated"], unchanged_count=answer["unchanged"]
        )

    async def GetItem(self, request: pb.GetItemRequest, context: Context) -> pb.GetItemResponse:
        return pb.GetItemResponse(item=item_message(await get_item(self._catalogue, _tenant(), request.item_id)))

    async def BatchGetItems(self, request: pb.BatchGetItemsRequest, context: Context) -> pb.BatchGetItemsResponse:
        found = await batch_get_items(self._catalogue, _tenant(), request.item_ids)
        return pb.BatchGetItemsResponse(items=map(item_message, found))

    async def ListItems(self, request: pb.ListItemsRequest, context: Context) -> pb.ListItemsResponse:
        items, token = await list_items(self._catalogue, _tenant(), page_size(request.page_size), request.page_token)
        return pb.ListItemsResponse(items=map(item_message, items), next_page_token=token)

    async def DeleteItem(self, request: pb.DeleteItemRequest, context: Context) -> pb.DeleteItemResponse:
        await delete_item(self._catalogue, self._keeping.requests, named(request), request.item_id)
        return pb.DeleteItemResponse()

    async def Recommend(self, request: pb.RecommendRequest, context: Context) -> pb.RecommendResponse:
        asker = Asker(request.customer_id, tuple(request.session_item_ids))
        wish = Wish(request.count or COUNT_DEFAULT, read_filter(request.filter), request.exclude_bought)
        visit = Visit(asker, tuple(request.item_ids), request.context, request.visitor_id, uuid4().hex)
        asked = [question_of(visit, wish)] if request.resumable else []
        if request.placement_id:
            made = await self._placed([visit], request.placement_id, wish)
        else:
            found = await recommend_one(self._sources, _tenant(), asker, wish)
            made = [replace(found, recommendation_id=Origin().named(visit.nonce))]
        (page,) = await self._open(asked, made)
        return pb.RecommendResponse(recommendations=list_message(page))

    async def BatchRecommend(self, request: pb.BatchRecommendRequest, context: Context) -> pb.BatchRecommendResponse:
        askers = [Asker(customer_id) for customer_id in request.customer_ids]
        wish = Wish(request.count or COUNT_DEFAULT, read_filter(request.filter), request.exclude_bought)
        item_ids, context_told = tuple(request.item_ids), dict(request.context)
        visits = [Visit(asker, item_ids, context_told, "", uuid4().hex) for asker in askers]
        asked = [question_of(visit, wish) for visit in visits] if request.resumable else []
        if request.placement_id:
            made = await self._placed(visits, request.placement_id, wish)
        else:
            lists = await recommend(self._sources, _tenant(), askers, wish)
            made = [replace(each, recommendation_id=Origin().named(uuid4().hex)) for each in lists]
        pages = await self._open(asked, made)
        return pb.BatchRecommendResponse(recommendations=map(list_message, pages))

    async def _placed(self, visits: Sequence[Visit], placement_id: str, wish: Wish) -> list[RecommendationList]:
        """The lists of a placement, made side by side: what they ask of the index goes together."""
        now, tenant = to_micros(self._clock()), _tenant()
        made = (
            recommend_for_placement(self._sources, self._placing, tenant, visit, placement_id, wish, now)
            for visit in visits
        )
        return await asyncio.gather(*made)

    async def FindSimilarItems(
        self, request: pb.FindSimilarItemsRequest, context: Context
    ) -> pb.FindSimilarItemsResponse:
        wish = Wish(request.count or COUNT_DEFAULT, read_filter(request.filter))
        found = await find_similar_items(self._sources, _tenant(), request.item_id, wish)
        return pb.FindSimilarItemsResponse(recommendations=list_message(found))

    async def FindBoughtTogether(
        self, request: pb.FindBoughtTogetherRequest, context: Context
    ) -> pb.FindBoughtTogetherResponse:
        wish = Wish(request.count or COUNT_DEFAULT, read_filter(request.filter))
        asked = read_variant(request)
        found = await find_together(self._sources, _tenant(), request.item_id, wish, asked)
        return pb.FindBoughtTogetherResponse(recommendations=list_message(found))

    async def TrainModel(self, request: pb.TrainModelRequest, context: Context) -> pb.TrainModelResponse:
        job_id = await train_model(
            self._sources.models,
            self._sources.interactions,
            self._keeping.training_jobs,
            self._keeping.requests,
            named(request),
            _parameters(request),
        )
        return pb.TrainModelResponse(job=to_proto(await self._keeping.jobs.get(_tenant(), job_id)))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=to_proto(await self._keeping.jobs.get(_tenant(), request.job_id)))

    async def FollowJob(self, request: pb.FollowJobRequest, context: Context) -> AsyncIterator[pb.FollowJobResponse]:
        async for job in self._keeping.jobs.follow(_tenant(), request.job_id):
            yield pb.FollowJobResponse(job=to_proto(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        jobs, token = await self._keeping.jobs.list(_tenant(), page_size(request.page_size), request.page_token)
        return pb.ListJobsResponse(jobs=map(to_proto, jobs), next_page_token=token)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        models = self._sources.models
        live = await models.training_of_live(_tenant())
        found, token = await models.page(_tenant(), page_size(request.page_size), request.page_token)
        kept = await models.kept(_tenant())
        return pb.ListModelsResponse(models=(_model(it, live, kept) for it in found), next_page_token=token)

    async def RollbackModel(self, request: pb.RollbackModelRequest, context: Context) -> pb.RollbackModelResponse:
        models = self._sources.models
        wanted = named(request)
        training = await rollback_model(models, self._keeping.requests, wanted, request.model_version)
        return pb.RollbackModelResponse(model=_model(training, training, [training.model_version]))

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        sources = self._sources
        status = await get_status(
            sources.models,
            sources.interactions,
            sources.catalogue,
            self._keeping.training_jobs,
            _tenant(),
            await self._drift_settings.get(_tenant()),
        )
        return pb.GetStatusResponse(
            applied_cursor=status.applied_cursor,
            interaction_count=status.interaction_count,
            item_count=status.item_count,
            live_model=_model(status.live, status.live, [status.live.model_version]) if status.live else None,
            training=status.training,
            drift=_drift(status.drift) if status.drift else None,
        )


def _drift(drift: Drift) -> pb.Drift:
    return pb.Drift(
        line_count=drift.line_count,
        unknown_item_share=drift.unknown_item_share,
        category_psi=drift.category_psi,
        demand_psi=drift.demand_psi,
        price_psi=drift.price_psi,
        score_psi=drift.score_psi,
        scored_count=drift.scored_count,
        alarms=drift.alarms,
    )


def _tenant() -> str:
    return principal().tenant


def _parameters(request: pb.TrainModelRequest) -> Parameters:
    usual = Parameters()
    given = request.half_life_duration
    asked_days = (given.seconds + given.nanos / 1e9) / SECONDS_A_DAY
    return Parameters(
        dimensions=request.dimensions or usual.dimensions,
        half_life_days=asked_days if request.HasField("half_life_duration") else usual.half_life_days,
        min_basket_count=request.min_basket_count or usual.min_basket_count,
        cpu_seconds=request.selection_cpu_seconds or usual.cpu_seconds,
        accept_worse=request.accept_worse,
    )


def _model(training: Training, live: Training | None, kept: Sequence[str]) -> pb.Model:
    seconds, micros = divmod(training.train_micros, MICROS_A_SECOND)
    return pb.Model(
        model_version=training.model_version,
        algorithm=training.algorithm,
        create_time=timestamp(training.create_time),
        interaction_count=training.interaction_count,
        customer_count=training.customer_count,
        basket_count=training.basket_count,
        item_count=training.item_count,
        dimensions=training.dimensions,
        metrics=[pb.Metric(name=name, value=value) for name, value in sorted(training.metrics.items())],
        train_duration=Duration(seconds=seconds, nanos=micros * 1000),
        live=live is not None and live.model_version == training.model_version,
        half_life_duration=Duration(seconds=round(training.half_life_days * SECONDS_A_DAY)),
        history_half_life_duration=Duration(seconds=round(training.history_half_life_days * SECONDS_A_DAY)),
        transition_half_life_duration=Duration(seconds=round(training.transition_days * SECONDS_A_DAY))
        if training.transition_days
        else None,
        worse_than_live=training.worse_than_live,
        kept=training.model_version in kept,
        feedback_weights=weights_message(training.feedback),
        signal_count=training.signal_count,
    )
