"""gRPC in, use case, gRPC out."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import money_pb2
from tessera.recommendation.v1 import recommendation_service_pb2 as pb

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.common.job_messages import to_proto
from services.common.jobs import Jobs
from services.recommendation.domain.item import Item, ItemFilter, Money
from services.recommendation.domain.model import Pair, Training
from services.recommendation.domain.recommendation import Reason, Recommendation, RecommendationList
from services.recommendation.handlers.catalogue import batch_get_items, delete_item, get_item, list_items, upsert_items
from services.recommendation.handlers.recommend import Asker, Sources, Wish, recommend
from services.recommendation.handlers.related import find_bought_together, find_similar_items
from services.recommendation.handlers.training import get_status, rollback_model, train_model
from services.recommendation.ports import Parameters, Request, Requests, StoredItem, TrainingJobs
from services.recommendation.servicer.personal_data import PersonalDataRpcs

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE_DEFAULT = 100
COUNT_DEFAULT = 10
MICROS_A_SECOND = 1_000_000
SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Keeping:
    """The ports of what is not answered from a model alone."""

    requests: Requests
    training_jobs: TrainingJobs
    jobs: Jobs


class RecommendationServicer(PersonalDataRpcs):
    """Answers ``tessera.recommendation.v1.RecommendationService``."""

    def __init__(self, sources: Sources, keeping: Keeping) -> None:
        self._sources, self._keeping = sources, keeping
        self._catalogue = sources.catalogue

    async def UpsertItems(self, request: pb.UpsertItemsRequest, context: Context) -> pb.UpsertItemsResponse:
        items = [_item(item) for item in request.items]
        answer = await upsert_items(self._catalogue, self._keeping.requests, _request(request), items)
        return pb.UpsertItemsResponse(
            created_count=answer["created"], updated_count=answer["updated"], unchanged_count=answer["unchanged"]
        )

    async def GetItem(self, request: pb.GetItemRequest, context: Context) -> pb.GetItemResponse:
        return pb.GetItemResponse(item=_item_out(await get_item(self._catalogue, _tenant(), request.item_id)))

    async def BatchGetItems(self, request: pb.BatchGetItemsRequest, context: Context) -> pb.BatchGetItemsResponse:
        found = await batch_get_items(self._catalogue, _tenant(), request.item_ids)
        return pb.BatchGetItemsResponse(items=map(_item_out, found))

    async def ListItems(self, request: pb.ListItemsRequest, context: Context) -> pb.ListItemsResponse:
        items, token = await list_items(self._catalogue, _tenant(), _size(request.page_size), request.page_token)
        return pb.ListItemsResponse(items=map(_item_out, items), next_page_token=token)

    async def DeleteItem(self, request: pb.DeleteItemRequest, context: Context) -> pb.DeleteItemResponse:
        await delete_item(self._catalogue, self._keeping.requests, _request(request), request.item_id)
        return pb.DeleteItemResponse()

    async def Recommend(self, request: pb.RecommendRequest, context: Context) -> pb.RecommendResponse:
        asker = Asker(request.customer_id, tuple(request.session_item_ids))
        wish = Wish(request.count or COUNT_DEFAULT, _filter(request.filter), request.exclude_bought)
        lists = await recommend(self._sources, _tenant(), [asker], wish)
        return pb.RecommendResponse(recommendations=_list(lists[0]))

    async def BatchRecommend(self, request: pb.BatchRecommendRequest, context: Context) -> pb.BatchRecommendResponse:
        askers = [Asker(customer_id) for customer_id in request.customer_ids]
        wish = Wish(request.count or COUNT_DEFAULT, _filter(request.filter), request.exclude_bought)
        lists = await recommend(self._sources, _tenant(), askers, wish)
        return pb.BatchRecommendResponse(recommendations=map(_list, lists))

    async def FindSimilarItems(
        self, request: pb.FindSimilarItemsRequest, context: Context
    ) -> pb.FindSimilarItemsResponse:
        wish = Wish(request.count or COUNT_DEFAULT, _filter(request.filter))
        found = await find_similar_items(self._sources, _tenant(), request.item_id, wish)
        return pb.FindSimilarItemsResponse(recommendations=_list(found))

    async def FindBoughtTogether(
        self, request: pb.FindBoughtTogetherRequest, context: Context
    ) -> pb.FindBoughtTogetherResponse:
        wish = Wish(request.count or COUNT_DEFAULT, _filter(request.filter))
        found = await find_bought_together(self._sources, _tenant(), request.item_id, wish)
        return pb.FindBoughtTogetherResponse(recommendations=_list(found))

    async def TrainModel(self, request: pb.TrainModelRequest, context: Context) -> pb.TrainModelResponse:
        job_id = await train_model(
            self._sources.models,
            self._sources.interactions,
            self._keeping.training_jobs,
            self._keeping.requests,
            _request(request),
            _parameters(request),
        )
        return pb.TrainModelResponse(job=to_proto(await self._keeping.jobs.get(_tenant(), job_id)))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=to_proto(await self._keeping.jobs.get(_tenant(), request.job_id)))

    async def FollowJob(self, request: pb.FollowJobRequest, context: Context) -> AsyncIterator[pb.FollowJobResponse]:
        async for job in self._keeping.jobs.follow(_tenant(), request.job_id):
            yield pb.FollowJobResponse(job=to_proto(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        jobs, token = await self._keeping.jobs.list(_tenant(), _size(request.page_size), request.page_token)
        return pb.ListJobsResponse(jobs=map(to_proto, jobs), next_page_token=token)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        models = self._sources.models
        live = await models.training_of_live(_tenant())
        found, token = await models.page(_tenant(), _size(request.page_size), request.page_token)
        kept = await models.kept(_tenant())
        return pb.ListModelsResponse(models=(_model(it, live, kept) for it in found), next_page_token=token)

    async def RollbackModel(self, request: pb.RollbackModelRequest, context: Context) -> pb.RollbackModelResponse:
        models = self._sources.models
        wanted = _request(request)
        training = await rollback_model(models, self._keeping.requests, wanted, request.model_version)
        return pb.RollbackModelResponse(model=_model(training, training, [training.model_version]))

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        sources = self._sources
        status = await get_status(
            sources.models, sources.interactions, sources.catalogue, self._keeping.training_jobs, _tenant()
        )
        return pb.GetStatusResponse(
            applied_cursor=status.applied_cursor,
            interaction_count=status.interaction_count,
            item_count=status.item_count,
            live_model=_model(status.live, status.live, [status.live.model_version]) if status.live else None,
            training=status.training,
        )


def _tenant() -> str:
    return principal().tenant


def _request(request: Message) -> Request:
    request_id: str = request.request_id  # type: ignore[attr-defined]  # every mutation has one
    return Request(_tenant(), request_id, fingerprint(request))


def _size(page_size: int) -> int:
    return page_size or PAGE_SIZE_DEFAULT


def _item(item: pb.Item) -> Item:
    price = Money(item.price.currency, item.price.amount_minor) if item.HasField("price") else None
    return Item(
        item_id=item.item_id,
        title=item.title,
        categories=tuple(item.categories),
        brand=item.brand,
        price=price,
        attributes=dict(item.attributes),
        out_of_stock=item.out_of_stock,
        hidden=item.hidden,
    )


def _item_out(stored: StoredItem) -> pb.Item:
    item = stored.item
    price = money_pb2.Money(currency=item.price.currency, amount_minor=item.price.amount_minor) if item.price else None
    return pb.Item(
        item_id=item.item_id,
        title=item.title,
        categories=item.categories,
        brand=item.brand,
        price=price,
        attributes=item.attributes,
        out_of_stock=item.out_of_stock,
        hidden=item.hidden,
        update_time=_timestamp(stored.update_time),
    )


def _filter(wanted: pb.ItemFilter) -> ItemFilter:
    return ItemFilter(
        categories=frozenset(wanted.categories),
        brands=frozenset(wanted.brands),
        item_ids=frozenset(wanted.item_ids),
        excluded_item_ids=frozenset(wanted.excluded_item_ids),
        include_out_of_stock=wanted.include_out_of_stock,
    )


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


def _list(answer: RecommendationList) -> pb.RecommendationList:
    return pb.RecommendationList(
        customer_id=answer.customer_id,
        items=map(_recommendation, answer.items),
        model_version=answer.model_version,
        empty_reason=pb.EmptyReason.ValueType(answer.empty_reason),
    )


def _recommendation(item: Recommendation) -> pb.Recommendation:
    return pb.Recommendation(item_id=item.item_id, score=item.score, reasons=_reasons(item.reasons))


def _reasons(reasons: Iterable[Reason]) -> list[pb.Reason]:
    return [
        pb.Reason(
            kind=pb.ReasonKind.ValueType(reason.kind),
            source_item_ids=reason.source_item_ids,
            score=reason.score,
            association=_association(reason.pair) if reason.pair else None,
            purchase_count=reason.purchase_count,
        )
        for reason in reasons
    ]


def _association(pair: Pair) -> pb.Association:
    return pb.Association(basket_count=pair.together, support=pair.support, confidence=pair.confidence, lift=pair.lift)


def _model(training: Training, live: Training | None, kept: Sequence[str]) -> pb.Model:
    seconds, micros = divmod(training.train_micros, MICROS_A_SECOND)
    return pb.Model(
        model_version=training.model_version,
        algorithm=training.algorithm,
        create_time=_timestamp(training.create_time),
        interaction_count=training.interaction_count,
        customer_count=training.customer_count,
        basket_count=training.basket_count,
        item_count=training.item_count,
        dimensions=training.dimensions,
        metrics=[pb.Metric(name=name, value=value) for name, value in sorted(training.metrics.items())],
        train_duration=Duration(seconds=seconds, nanos=micros * 1000),
        live=live is not None and live.model_version == training.model_version,
        half_life_duration=Duration(seconds=round(training.half_life_days * SECONDS_A_DAY)),
        worse_than_live=training.worse_than_live,
        kept=training.model_version in kept,
    )


def _timestamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, MICROS_A_SECOND)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
