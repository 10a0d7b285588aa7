"""Computed traits, and the jobs that compute them over history."""

from collections.abc import AsyncIterator

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import rule_pb2
from tessera.profiles.v1 import computed_trait_pb2 as pb

from services.common import json
from services.common.auth import principal
from services.common.job_messages import to_proto
from services.common.rules import Comparison, Operator, wire
from services.common.validation import FieldInvalid
from services.profiles.domain.computed_trait import ComputedTrait, Value
from services.profiles.domain.figures import Kind
from services.profiles.handlers.computed_traits import (
    Defining,
    backfill_computed_trait,
    create_computed_trait,
    delete_computed_trait,
    get_computed_trait,
    update_computed_trait,
)
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, named, timestamp

MICROS = 1_000_000


class ComputedTraitRpcs:
    """Defines what is computed, and tells of jobs."""

    _defining: Defining

    async def CreateComputedTrait(
        self, request: pb.CreateComputedTraitRequest, context: Context
    ) -> pb.CreateComputedTraitResponse:
        made = await create_computed_trait(self._defining, named(request), _read(request.computed_trait))
        return pb.CreateComputedTraitResponse(computed_trait=_message(made))

    async def UpdateComputedTrait(
        self, request: pb.UpdateComputedTraitRequest, context: Context
    ) -> pb.UpdateComputedTraitResponse:
        made = await update_computed_trait(self._defining, named(request), _read(request.computed_trait))
        return pb.UpdateComputedTraitResponse(computed_trait=_message(made))

    async def GetComputedTrait(
        self, request: pb.GetComputedTraitRequest, context: Context
    ) -> pb.GetComputedTraitResponse:
        found = await get_computed_trait(self._defining, principal().tenant, request.name)
        return pb.GetComputedTraitResponse(computed_trait=_message(found))

    async def ListComputedTraits(
        self, request: pb.ListComputedTraitsRequest, context: Context
    ) -> pb.ListComputedTraitsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        found, token = await self._defining.computing.computed.page(principal().tenant, size, request.page_token)
        return pb.ListComputedTraitsResponse(computed_traits=map(_message, found), next_page_token=token)

    async def BackfillComputedTrait(
        self, request: pb.BackfillComputedTraitRequest, context: Context
    ) -> pb.BackfillComputedTraitResponse:
        job = await backfill_computed_trait(self._defining, named(request), request.name)
        return pb.BackfillComputedTraitResponse(job=to_proto(job))

    async def DeleteComputedTrait(
        self, request: pb.DeleteComputedTraitRequest, context: Context
    ) -> pb.DeleteComputedTraitResponse:
        job = await delete_computed_trait(self._defining, named(request), request.name)
        return pb.DeleteComputedTraitResponse(job=to_proto(job))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=to_proto(await self._defining.jobs.get(principal().tenant, request.job_id)))

    async def FollowJob(self, request: pb.FollowJobRequest, context: Context) -> AsyncIterator[pb.FollowJobResponse]:
        async for job in self._defining.jobs.follow(principal().tenant, request.job_id):
            yield pb.FollowJobResponse(job=to_proto(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        jobs, token = await self._defining.jobs.list(principal().tenant, size, request.page_token)
        return pb.ListJobsResponse(jobs=map(to_proto, jobs), next_page_token=token)


def value_message(trait: ComputedTrait, value: Value) -> pb.ComputedTraitValue:
    """What a trait of a customer comes to."""
    return pb.ComputedTraitValue(
        name=trait.name,
        value_json=json.write(value.value),
        change_time=timestamp(value.change_time),
        version=trait.version,
    )


def _read(message: pb.ComputedTrait) -> ComputedTrait:
    if message.kind not in Kind._value2member_map_:
        raise FieldInvalid("computed_trait.kind is none of the kinds", field="computed_trait.kind")
    where = [wire.read(rule_pb2.Rule(field=comparison)) for comparison in message.where]
    window = message.window.seconds * MICROS + message.window.nanos // 1000
    if message.HasField("window") and not window:
        window = -1  # a window of nothing is not the whole history
    return ComputedTrait(
        message.name,
        Kind(message.kind),
        message.event_name,
        message.property,
        tuple(comparison for comparison in where if isinstance(comparison, Comparison)),
        window,
        message.description,
    )


def _message(trait: ComputedTrait) -> pb.ComputedTrait:
    message = pb.ComputedTrait(
        name=trait.name,
        description=trait.description,
        kind=pb.ComputedTraitKind.ValueType(trait.kind),
        event_name=trait.event_name,
        property=trait.property_path,
        where=[
            rule_pb2.Comparison(
                field=each.field,
                operator=rule_pb2.Operator.ValueType(Operator(each.operator)),
                values=map(wire.write_value, each.values),
            )
            for each in trait.where
        ],
        version=trait.version,
        status=pb.ComputedTraitStatus.ValueType(trait.status),
        create_time=timestamp(trait.create_time),
        update_time=_time(trait.update_time),
        job_id=trait.job_id,
    )
    if trait.window:
        message.window.FromMicroseconds(trait.window)
    return message


def _time(micros: int) -> Timestamp | None:
    return timestamp(micros) if micros else None
