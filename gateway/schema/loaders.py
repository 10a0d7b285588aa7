"""One loader for each BatchGet rpc: keys that one request asks for at once go out in one call."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from tessera.crm.v1 import crm_service_pb2 as crm_pb
from tessera.forecasting.v1 import category_preference_pb2, propensity_pb2, uplift_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting_pb
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb
from tessera.profiles.v1 import consent_pb2, group_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as recommendation_pb
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation_pb

from gateway.context import Context

V = TypeVar("V")

BATCH_GET_MAX = 1000
BATCH_MEMBERSHIPS_MAX = 200
BATCH_LISTS_MAX = 100  # of rpcs that answer a list for each key


async def customer(context: Context, customer_id: str) -> profiles_pb.Customer | None:
    """By ``profiles.BatchGetCustomers``."""

    async def fetch(ids: list[str]) -> dict[str, profiles_pb.Customer]:
        request = profiles_pb.BatchGetCustomersRequest(customer_ids=ids)
        answer = await context.backends.profiles.BatchGetCustomers(request, metadata=context.metadata)
        # The customer that is left stands for those that were merged into it.
        return {
            known_as: found
            for found in answer.customers
            for known_as in (*found.origin_customer_ids, found.customer_id)
        }

    return await context.load("customers", customer_id, fetch, BATCH_GET_MAX)


async def consents(context: Context, customer_id: str) -> consent_pb2.CustomerConsents | None:
    """By ``profiles.BatchGetConsents``."""

    async def fetch(ids: list[str]) -> dict[str, consent_pb2.CustomerConsents]:
        request = consent_pb2.BatchGetConsentsRequest(customer_ids=ids)
        answer = await context.backends.profiles.BatchGetConsents(request, metadata=context.metadata)
        return {found.customer_id: found for found in answer.customers}

    return await context.load("consents", customer_id, fetch, BATCH_GET_MAX)


async def memberships(context: Context, customer_id: str) -> segmentation_pb.Memberships | None:
    """By ``segmentation.BatchGetMemberships``."""

    async def fetch(ids: list[str]) -> dict[str, segmentation_pb.Memberships]:
        request = segmentation_pb.BatchGetMembershipsRequest(customer_ids=ids)
        answer = await context.backends.segmentation.BatchGetMemberships(request, metadata=context.metadata)
        return {found.customer_id: found for found in answer.memberships}

    return await context.load("memberships", customer_id, fetch, BATCH_GET_MAX)


async def segment(context: Context, segment_id: str) -> segmentation_pb.Segment | None:
    """By ``segmentation.BatchGetSegments``."""

    async def fetch(ids: list[str]) -> dict[str, segmentation_pb.Segment]:
        request = segmentation_pb.BatchGetSegmentsRequest(segment_ids=ids)
        answer = await context.backends.segmentation.BatchGetSegments(request, metadata=context.metadata)
        return {found.segment_id: found for found in answer.segments}

    return await context.load("segments", segment_id, fetch, BATCH_GET_MAX)


async def rfm(context: Context, customer_id: str, currency: str) -> segmentation_pb.Rfm | None:
    """By ``segmentation.BatchGetRfm``."""

    async def fetch(ids: list[str]) -> dict[str, segmentation_pb.Rfm]:
        request = segmentation_pb.BatchGetRfmRequest(customer_ids=ids, currency=currency)
        answer = await context.backends.segmentation.BatchGetRfm(request, metadata=context.metadata)
        return {found.customer_id: found for found in answer.rfms}

    return await context.load(("rfm", currency), customer_id, fetch, BATCH_GET_MAX)


async def customer_prediction(context: Context, customer_id: str) -> forecasting_pb.CustomerPrediction | None:
    """By ``forecasting.BatchGetCustomerPredictions``."""

    async def fetch(ids: list[str]) -> dict[str, forecasting_pb.CustomerPrediction]:
        request = forecasting_pb.BatchGetCustomerPredictionsRequest(customer_ids=ids)
        answer = await context.backends.forecasting.BatchGetCustomerPredictions(request, metadata=context.metadata)
        return {found.customer_id: found for found in answer.predictions}

    return await context.load("customer_predictions", customer_id, fetch, BATCH_GET_MAX)


async def memberships_of_groups(context: Context, customer_id: str) -> list[group_pb2.GroupMembership]:
    """By ``profiles.BatchGetGroupMemberships``."""

    async def fetch(ids: list[str]) -> dict[str, list[group_pb2.GroupMembership]]:
        request = group_pb2.BatchGetGroupMembershipsRequest(customer_ids=ids)
        answer = await context.backends.profiles.BatchGetGroupMemberships(request, metadata=context.metadata)
        return {found.customer_id: list(found.memberships) for found in answer.customers}

    return await context.load("group_memberships", customer_id, fetch, BATCH_MEMBERSHIPS_MAX) or []


async def propensities(context: Context, customer_id: str) -> list[propensity_pb2.Propensity]:
    """By ``forecasting.BatchGetPropensities``."""

    async def fetch(ids: list[str]) -> dict[str, list[propensity_pb2.Propensity]]:
        request = propensity_pb2.BatchGetPropensitiesRequest(customer_ids=ids)
        answer = await context.backends.forecasting.BatchGetPropensities(request, metadata=context.metadata)
        found: dict[str, list[propensity_pb2.Propensity]] = {}
        for each in answer.propensities:
            found.setdefault(each.customer_id, []).append(each)
        return found

    return await context.load("propensities", customer_id, fetch, BATCH_GET_MAX) or []


async def category_preferences(
    context: Context, customer_id: str
) -> category_preference_pb2.CategoryPreferences | None:
    """By ``forecasting.BatchGetCategoryPreferences``."""

    async def fetch(ids: list[str]) -> dict[str, category_preference_pb2.CategoryPreferences]:
        request = category_preference_pb2.BatchGetCategoryPreferencesRequest(customer_ids=ids)
        answer = await context.backends.forecasting.BatchGetCategoryPreferences(request, metadata=context.metadata)
        return {found.customer_id: found for found in answer.preferences}

    return await context.load("category_preferences", customer_id, fetch, BATCH_GET_MAX)


async def uplifts(context: Context, customer_id: str) -> list[uplift_pb2.Uplift]:
    """By ``forecasting.BatchGetUplifts``."""

    async def fetch(ids: list[str]) -> dict[str, list[uplift_pb2.Uplift]]:
        request = uplift_pb2.BatchGetUpliftsRequest(customer_ids=ids)
        answer = await context.backends.forecasting.BatchGetUplifts(request, metadata=context.metadata)
        found: dict[str, list[uplift_pb2.Uplift]] = {}
        for each in answer.uplifts:
            found.setdefault(each.customer_id, []).append(each)
        return found

    return await context.load("uplifts", customer_id, fetch, BATCH_GET_MAX) or []


async def item(context: Context, item_id: str) -> item_pb.Item | None:
    """By ``recommendation.BatchGetItems``."""

    async def fetch(ids: list[str]) -> dict[str, item_pb.Item]:
        request = recommendation_pb.BatchGetItemsRequest(item_ids=ids)
        answer = await context.backends.recommendation.BatchGetItems(request, metadata=context.metadata)
        return {found.item_id: found for found in answer.items}

    return await context.load("items", item_id, fetch, BATCH_GET_MAX)


async def recommendations(
    context: Context, customer_id: str, like: recommendation_pb.BatchRecommendRequest
) -> list_pb.RecommendationList | None:
    """By ``recommendation.BatchRecommend``; customers for whom the same is asked go out together."""

    async def fetch(ids: list[str]) -> dict[str, list_pb.RecommendationList]:
        request = recommendation_pb.BatchRecommendRequest(customer_ids=ids)
        request.MergeFrom(like)
        answer = await context.backends.recommendation.BatchRecommend(request, metadata=context.metadata)
        return dict(zip(ids, answer.recommendations, strict=True))

    name = ("recommendations", like.SerializeToString(deterministic=True))
    return await context.load(name, customer_id, fetch, BATCH_LISTS_MAX)


async def member(context: Context, program_id: str, member_id: str) -> loyalty_pb.Member | None:
    """By ``loyalty.BatchGetMembers``, one call for each programme."""

    async def fetch(ids: list[str]) -> dict[str, loyalty_pb.Member]:
        request = loyalty_pb.BatchGetMembersRequest(program_id=program_id, member_ids=ids)
        answer = await context.backends.loyalty.BatchGetMembers(request, metadata=context.metadata)
        return {found.member_id: found for found in answer.members}

    return await context.load(("members", program_id), member_id, fetch, BATCH_GET_MAX)


async def programs(context: Context) -> list[loyalty_pb.Program]:
    """The first programmes of the tenant, by ``loyalty.ListPrograms``: asked for once a request."""

    async def fetch(keys: list[str]) -> dict[str, list[loyalty_pb.Program]]:
        request = loyalty_pb.ListProgramsRequest(page_size=BATCH_GET_MAX)
        answer = await context.backends.loyalty.ListPrograms(request, metadata=context.metadata)
        return {key: list(answer.programs) for key in keys}

    return await context.load("programs", "", fetch, 1) or []


async def program(context: Context, program_id: str) -> loyalty_pb.Program | None:
    """One programme, out of all that the request has asked for."""
    return next((each for each in await programs(context) if each.program_id == program_id), None)


async def template(context: Context, template_id: str) -> crm_pb.Template | None:
    """By ``crm.BatchGetTemplates``."""

    async def fetch(ids: list[str]) -> dict[str, crm_pb.Template]:
        request = crm_pb.BatchGetTemplatesRequest(template_ids=ids)
        answer = await context.backends.crm.BatchGetTemplates(request, metadata=context.metadata)
        return {found.template_id: found for found in answer.templates}

    return await context.load("templates", template_id, fetch, BATCH_GET_MAX)


async def campaign(context: Context, campaign_id: str) -> crm_pb.Campaign | None:
    """By ``crm.BatchGetCampaigns``."""

    async def fetch(ids: list[str]) -> dict[str, crm_pb.Campaign]:
        request = crm_pb.BatchGetCampaignsRequest(campaign_ids=ids)
        answer = await context.backends.crm.BatchGetCampaigns(request, metadata=context.metadata)
        return {found.campaign_id: found for found in answer.campaigns}

    return await context.load("campaigns", campaign_id, fetch, BATCH_GET_MAX)


async def messages(context: Context, customer_id: str, limit: int) -> list[crm_pb.Message]:
    """The newest messages to a customer, by ``crm.BatchGetCustomerMessages``."""

    async def fetch(ids: list[str]) -> dict[str, list[crm_pb.Message]]:
        request = crm_pb.BatchGetCustomerMessagesRequest(customer_ids=ids, limit=limit)
        answer = await context.backends.crm.BatchGetCustomerMessages(request, metadata=context.metadata)
        return {found.customer_id: list(found.messages) for found in answer.customers}

    return await context.load(("messages", limit), customer_id, fetch, BATCH_LISTS_MAX) or []


async def all_of(loads: Iterable[Awaitable[V | None]]) -> list[V]:
    """What is there of several loads that go out together, in their order."""
    return [found for found in await asyncio.gather(*loads) if found is not None]
