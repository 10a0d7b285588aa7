"""Media mix in the schema: spend, what it brought in, and where to put the next budget."""

from typing import Annotated

import strawberry
from tessera.forecasting.v1 import media_mix_pb2 as pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.registry import from_proto, input_from_proto, mutation, query


@from_proto(
    pb.MediaMix,
    "version",
    "fit_time",
    "currency",
    "daily",
    "first_date",
    "last_date",
    "period_count",
    "regions",
    "channels",
    "sales",
    "baseline_sales",
    "periods",
    "r_squared",
    "holdout_wape",
    "warnings",
)
class MediaMix: ...


@from_proto(
    pb.ChannelEffect,
    "channel",
    "spend",
    "contribution",
    "roi",
    "marginal_roi",
    "retention",
    "half_saturation_spend",
    "curve",
    "prior_roi",
)
class ChannelEffect: ...


@from_proto(pb.Estimate, "value", "lower", "upper")
class Estimate: ...


@from_proto(pb.ResponsePoint, "spend", "sales", "sales_lower", "sales_upper")
class ResponsePoint: ...


@from_proto(pb.MediaMixPeriod, "date", "sales", "fitted_sales", "contributions")
class MediaMixPeriod: ...


@from_proto(pb.SpendChannel, "channel", "amounts", "first_date", "last_date", "region_count")
class SpendChannel: ...


@from_proto(
    pb.BudgetPlan,
    "version",
    "period_count",
    "total",
    "sales",
    "sales_in_past_proportions",
    "roi",
    "marginal_roi",
    "channels",
)
class BudgetPlan: ...


@from_proto(pb.SalesEstimate, "value", "lower", "upper")
class SalesEstimate: ...


@from_proto(pb.ChannelBudget, "channel", "planned", "past", "sales", "marginal_roi", "limit", "regions")
class ChannelBudget: ...


@from_proto(pb.RegionBudget, "region", "planned", "sales")
class RegionBudget: ...


@from_proto(pb.RecordSpendResponse, "recorded_count")
class RecordSpendPayload: ...


@from_proto(pb.FitMediaMixResponse, "job")
class FitMediaMixPayload: ...


@input_from_proto(pb.RecordSpendRequest, "request_id", "spend")
class RecordSpendInput: ...


@input_from_proto(pb.Spend, "channel", "region", "date", "amount")
class SpendInput: ...


@input_from_proto(
    pb.FitMediaMixRequest,
    "request_id",
    "daily",
    "first_date",
    "last_date",
    "currency",
    "time_zone",
    "store_regions",
    "priors",
    "experiments",
)
class FitMediaMixInput: ...


@input_from_proto(pb.ChannelPrior, "channel", "roi_low", "roi_high")
class ChannelPriorInput: ...


@input_from_proto(pb.ChannelExperiment, "channel", "roi", "standard_error")
class ChannelExperimentInput: ...


@input_from_proto(
    pb.PlanBudgetRequest,
    "version",
    "period_count",
    "total_minor",
    "target_roi",
    "target_marginal_roi",
    "share_min",
    "share_max",
    "bounds",
)
class PlanBudgetInput: ...


@input_from_proto(pb.BudgetBound, "channel", "region", "minimum_minor", "maximum_minor")
class BudgetBoundInput: ...


@query(by_rpc("forecasting.ListSpendChannels"))
async def spend_channels(info: Info) -> list[pb.SpendChannel]:
    """The channels with recorded spend, by name."""
    request = pb.ListSpendChannelsRequest()
    answer = await info.context.backends.forecasting.ListSpendChannels(request, metadata=info.context.metadata)
    return list(answer.channels)


@query(by_rpc("forecasting.GetMediaMix"))
async def media_mix(
    info: Info,
    version: Annotated[int | None, strawberry.argument(description="Null: the newest.")] = None,
    level: Annotated[int | None, strawberry.argument(description="Of the intervals, in per cent. Null: 90.")] = None,
) -> pb.MediaMix | None:
    """What each channel's spend brought in, by the media mix model; null if none was fitted."""
    request = pb.GetMediaMixRequest(version=version or 0, level=level or 0)
    call = info.context.backends.forecasting.GetMediaMix(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.media_mix if answer else None


@query(by_rpc("forecasting.PlanBudget"))
async def budget_plan(info: Info, input: pb.PlanBudgetRequest) -> pb.BudgetPlan:
    """Where to put a budget in the periods to come, by the media mix model."""
    answer = await info.context.backends.forecasting.PlanBudget(input, metadata=info.context.metadata)
    return answer.plan


@mutation(by_rpc("forecasting.RecordSpend"))
async def record_spend(info: Info, input: pb.RecordSpendRequest) -> pb.RecordSpendResponse:
    return await info.context.backends.forecasting.RecordSpend(input, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.FitMediaMix"))
async def fit_media_mix(info: Info, input: pb.FitMediaMixRequest) -> pb.FitMediaMixResponse:
    return await info.context.backends.forecasting.FitMediaMix(input, metadata=info.context.metadata)
