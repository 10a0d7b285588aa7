"""Computed traits in the schema: what is computed, and the jobs of profiles."""

from collections.abc import Sequence

import strawberry
from strawberry import Parent
from tessera.common.v1 import job_pb2
from tessera.profiles.v1 import computed_trait_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(
    pb.ComputedTrait,
    "name",
    "description",
    "kind",
    "event_name",
    "property",
    "window",
    "version",
    "status",
    "create_time",
    "update_time",
    "job_id",
)
class ComputedTrait: ...


@from_proto(pb.ComputedTraitValue, "name", "value_json", "change_time", "version")
class ComputedTraitValue: ...


@input_from_proto(pb.ComputedTrait, "name", "description", "kind", "event_name", "property", "where", "window")
class ComputedTraitInput: ...


@input_from_proto(pb.CreateComputedTraitRequest, "request_id", "computed_trait")
class CreateComputedTraitInput: ...


@from_proto(pb.CreateComputedTraitResponse, "computed_trait")
class CreateComputedTraitPayload: ...


@input_from_proto(pb.UpdateComputedTraitRequest, "request_id", "computed_trait")
class UpdateComputedTraitInput: ...


@from_proto(pb.UpdateComputedTraitResponse, "computed_trait")
class UpdateComputedTraitPayload: ...


@input_from_proto(pb.BackfillComputedTraitRequest, "request_id", "name")
class BackfillComputedTraitInput: ...


@from_proto(pb.BackfillComputedTraitResponse, "job")
class BackfillComputedTraitPayload: ...


@input_from_proto(pb.DeleteComputedTraitRequest, "request_id", "name")
class DeleteComputedTraitInput: ...


@from_proto(pb.DeleteComputedTraitResponse, "job")
class DeleteComputedTraitPayload: ...


@edge(Customer, by_rpc("profiles.GetCustomer"))
def computed_traits(
    customer: Parent[profiles_service_pb2.Customer],
) -> list[pb.ComputedTraitValue]:
    """What is computed of the person's events, as it is now."""
    return list(customer.computed_traits)


@query(by_rpc("profiles.ListComputedTraits"))
async def computed_trait_definitions(info: Info, first: First = 20, after: After = None) -> Page[pb.ComputedTrait]:
    """What is computed of customers' events, by name."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.ComputedTrait], str]:
        request = pb.ListComputedTraitsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListComputedTraits(request, metadata=info.context.metadata)
        return answer.computed_traits, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("profiles.GetComputedTrait"))
async def computed_trait_definition(info: Info, name: str) -> pb.ComputedTrait | None:
    """What is computed under a name; null if nothing is."""
    call = info.context.backends.profiles.GetComputedTrait(
        pb.GetComputedTraitRequest(name=name), metadata=info.context.metadata
    )
    answer = await none_if_not_found(call)
    return answer.computed_trait if answer else None


@query(by_rpc("profiles.GetJob"))
async def profiles_job(info: Info, id: strawberry.ID) -> job_pb2.Job | None:
    """One job of the profiles service; null if there is none."""
    request = pb.GetJobRequest(job_id=id)
    answer = await none_if_not_found(info.context.backends.profiles.GetJob(request, metadata=info.context.metadata))
    return answer.job if answer else None


@query(by_rpc("profiles.ListJobs"))
async def profiles_jobs(info: Info, first: First = 20, after: After = None) -> Page[job_pb2.Job]:
    """The jobs of the profiles service, newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[job_pb2.Job], str]:
        request = pb.ListJobsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListJobs(request, metadata=info.context.metadata)
        return answer.jobs, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("profiles.CreateComputedTrait"))
async def create_computed_trait(info: Info, input: pb.CreateComputedTraitRequest) -> pb.CreateComputedTraitResponse:
    return await info.context.backends.profiles.CreateComputedTrait(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.UpdateComputedTrait"))
async def update_computed_trait(info: Info, input: pb.UpdateComputedTraitRequest) -> pb.UpdateComputedTraitResponse:
    return await info.context.backends.profiles.UpdateComputedTrait(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.BackfillComputedTrait"))
async def backfill_computed_trait(
    info: Info, input: pb.BackfillComputedTraitRequest
) -> pb.BackfillComputedTraitResponse:
    return await info.context.backends.profiles.BackfillComputedTrait(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.DeleteComputedTrait"))
async def delete_computed_trait(info: Info, input: pb.DeleteComputedTraitRequest) -> pb.DeleteComputedTraitResponse:
    return await info.context.backends.profiles.DeleteComputedTrait(input, metadata=info.context.metadata)
