"""Whom it pays to treat, in the schema: experiments, uplift models, and what a treatment changes for each customer."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.crm.v1 import crm_service_pb2 as crm_pb
from tessera.forecasting.v1 import uplift_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.crm import Campaign
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(
    pb.UpliftExperiment,
    "experiment_id",
    "treated_count",
    "control_count",
    "first_treatment_time",
    "last_treatment_time",
)
class UpliftExperiment: ...


@from_proto(
    pb.UpliftModel,
    "model_id",
    "version",
    "experiment_id",
    "goal",
    "currency",
    "fit_time",
    "as_of_time",
    "customer_count",
    "quality",
    "features",
    "recommendation",
    "warnings",
    "outcome",
)
class UpliftModel: ...


@from_proto(
    pb.UpliftQuality,
    "customer_count",
    "treated_count",
    "treated_rate",
    "control_rate",
    "effect",
    "qini",
    "qini_ratio",
    "curve",
    "deciles",
    "heterogeneity",
)
class UpliftQuality: ...


@from_proto(pb.UpliftFigure, "value", "low", "high")
class UpliftFigure: ...


@from_proto(pb.UpliftPoint, "share", "gain", "profit_of_thousand")
class UpliftPoint: ...


@from_proto(pb.UpliftDecile, "customer_count", "uplift", "measured", "control_rate")
class UpliftDecile: ...


@from_proto(
    pb.UpliftRecommendation,
    "goal_value",
    "contact_cost",
    "uplift_min",
    "customer_count",
    "expected_reached",
    "expected_profit",
    "profit_of_all",
    "margin",
    "expected_amount",
)
class UpliftRecommendation: ...


@from_proto(
    pb.Uplift,
    "model_id",
    "version",
    "customer_id",
    "uplift",
    "base_probability",
    "percentile",
    "group",
    "as_of_time",
    "reasons",
    "base_amount",
)
class Uplift: ...


@input_from_proto(pb.Treatment, "customer_id", "treated", "treatment_time")
class TreatmentInput: ...


@input_from_proto(pb.RecordTreatmentsRequest, "request_id", "experiment_id", "treatments")
class RecordTreatmentsInput: ...


@from_proto(pb.RecordTreatmentsResponse, "recorded")
class RecordTreatmentsPayload: ...


@input_from_proto(
    pb.FitUpliftModelRequest,
    "request_id",
    "model_id",
    "experiment_id",
    "goal",
    "currency",
    "as_of_time",
    "goal_value",
    "contact_cost",
    "outcome",
    "margin",
)
class FitUpliftModelInput: ...


@from_proto(pb.FitUpliftModelResponse, "job")
class FitUpliftModelPayload: ...


@edge(Customer, by_rpc("forecasting.BatchGetUplifts"))
async def uplifts(customer: Parent[profiles_pb.Customer], info: Info) -> list[pb.Uplift]:
    """What each treatment that there is a model of changes for the customer, by the models' names."""
    return await loaders.uplifts(info.context, customer.customer_id)


@edge(Uplift, by_rpc("profiles.BatchGetCustomers"), name="customer")
async def _customer(uplift: Parent[pb.Uplift], info: Info) -> profiles_pb.Customer | None:
    """Whom it is about; null if profiles no longer knows the customer."""
    return await loaders.customer(info.context, uplift.customer_id)


@edge(UpliftExperiment, by_rpc("crm.BatchGetCampaigns"), name="campaign")
async def campaign_of_experiment(experiment: Parent[pb.UpliftExperiment], info: Info) -> crm_pb.Campaign | None:
    """The campaign that it is, if its records were not recorded but followed."""
    return await loaders.campaign(info.context, experiment.campaign_id) if experiment.campaign_id else None


@edge(Campaign, by_rpc("crm.BatchGetCampaigns"))
async def uplift_experiment_id(campaign: Parent[crm_pb.Campaign], info: Info) -> strawberry.ID | None:
    """The experiment from which uplift models learn what the campaign changes; null without a control group."""
    return strawberry.ID(f"campaign:{campaign.campaign_id}") if campaign.control_percent else None


@query(by_rpc("forecasting.ListUpliftExperiments"))
async def uplift_experiments(info: Info) -> list[pb.UpliftExperiment]:
    """The experiments: recorded ones by name, then campaigns with a control group, the newest first."""
    answer = await info.context.backends.forecasting.ListUpliftExperiments(
        pb.ListUpliftExperimentsRequest(), metadata=info.context.metadata
    )
    return list(answer.experiments)


@query(by_rpc("forecasting.ListUpliftModels"))
async def uplift_models(info: Info) -> list[pb.UpliftModel]:
    """The newest version of each uplift model, by name."""
    answer = await info.context.backends.forecasting.ListUpliftModels(
        pb.ListUpliftModelsRequest(), metadata=info.context.metadata
    )
    return list(answer.uplift_models)


@query(by_rpc("forecasting.GetUpliftModel"))
async def uplift_model(
    info: Info,
    model_id: str,
    version: Annotated[int | None, strawberry.argument(description="Null: the newest.")] = None,
) -> pb.UpliftModel | None:
    """An uplift model, how well it tells customers apart, and how many to treat; null if there is none."""
    request = pb.GetUpliftModelRequest(model_id=model_id, version=version or 0)
    call = info.context.backends.forecasting.GetUpliftModel(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.uplift_model if answer else None


@query(by_rpc("forecasting.ListUplifts"))
async def customer_uplifts(info: Info, model_id: str, first: First = 20, after: After = None) -> Page[pb.Uplift]:
    """What an uplift model says of all customers, the highest uplift first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Uplift], str]:
        request = pb.ListUpliftsRequest(model_id=model_id, page_size=size, page_token=token)
        answer = await info.context.backends.forecasting.ListUplifts(request, metadata=info.context.metadata)
        return answer.uplifts, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("forecasting.RecordTreatments"))
async def record_treatments(info: Info, input: pb.RecordTreatmentsRequest) -> pb.RecordTreatmentsResponse:
    return await info.context.backends.forecasting.RecordTreatments(input, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.DeleteUpliftExperiment"))
async def delete_uplift_experiment(info: Info, experiment_id: str) -> str:
    """Delete an experiment with its records: its id, also if it was not there. Models that learnt from it stay."""
    request = pb.DeleteUpliftExperimentRequest(experiment_id=experiment_id)
    await info.context.backends.forecasting.DeleteUpliftExperiment(request, metadata=info.context.metadata)
    return experiment_id


@mutation(by_rpc("forecasting.FitUpliftModel"))
async def fit_uplift_model(info: Info, input: pb.FitUpliftModelRequest) -> pb.FitUpliftModelResponse:
    return await info.context.backends.forecasting.FitUpliftModel(input, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.DeleteUpliftModel"))
async def delete_uplift_model(info: Info, model_id: str) -> str:
    """Delete an uplift model, all its versions, and what it says of customers: its id, also if it was not there."""
    request = pb.DeleteUpliftModelRequest(model_id=model_id)
    await info.context.backends.forecasting.DeleteUpliftModel(request, metadata=info.context.metadata)
    return model_id
