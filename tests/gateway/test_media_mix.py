"""Media mix through the gateway: the contract's words, maps as entries, aims as alternatives."""

from google.protobuf.json_format import MessageToDict
from tessera.common.v1 import job_pb2
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import media_mix_pb2 as pb

from tests.gateway.platform import Backend, Client


async def test_spend_is_recorded_and_a_fit_asked_for(client: Client, backend: Backend) -> None:
    backend.on("forecasting.RecordSpend", lambda asked: pb.RecordSpendResponse(recorded_count=len(asked.spend)))
    job = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING)
    backend.on("forecasting.FitMediaMix", lambda _: pb.FitMediaMixResponse(job=job))
    data = await client.data(
        """mutation { recordSpend(input: {spend: [{channel: "tv", date: "2026-01-05",
             amount: {currency: "USD", amountMinor: 1200}}]}) { recordedCount }
           fitMediaMix(input: {requestId: "r", storeRegions: [{key: "1", value: "north"}],
             experiments: [{channel: "tv", roi: 2.5, standardError: 0.2}]}) { job { jobId } } }"""
    )
    assert data == {"recordSpend": {"recordedCount": 1}, "fitMediaMix": {"job": {"jobId": "j1"}}}
    asked = MessageToDict(backend.requests("forecasting.FitMediaMix")[-1], preserving_proto_field_name=True)
    assert asked["store_regions"] == {"1": "north"}
    assert asked["experiments"] == [{"channel": "tv", "roi": 2.5, "standard_error": 0.2}]


async def test_a_model_and_a_plan_are_read(client: Client, backend: Backend) -> None:
    effect = pb.ChannelEffect(channel="tv", roi=pb.Estimate(value=2, lower=1, upper=3))
    mix = pb.MediaMix(version=3, channels=[effect], sales=Money(currency="USD", amount_minor=990))
    backend.on("forecasting.GetMediaMix", lambda _: pb.GetMediaMixResponse(media_mix=mix))
    tv = pb.ChannelBudget(channel="tv", limit=pb.BUDGET_LIMIT_MAXIMUM)
    plan = pb.BudgetPlan(version=3, roi=1.5, channels=[tv])
    backend.on("forecasting.PlanBudget", lambda _: pb.PlanBudgetResponse(plan=plan))
    data = await client.data(
        """{ mediaMix(level: 80) { version sales { amount } holdoutWape channels { channel roi { lower } } }
             budgetPlan(input: {periodCount: 4, totalMinor: 5000, bounds: [{channel: "tv", maximumMinor: 0}]})
               { roi channels { channel limit } } }"""
    )
    assert data["mediaMix"] == {
        "version": 3,
        "sales": {"amount": "9.90"},
        "holdoutWape": None,
        "channels": [{"channel": "tv", "roi": {"lower": 1.0}}],
    }
    assert data["budgetPlan"] == {"roi": 1.5, "channels": [{"channel": "tv", "limit": "MAXIMUM"}]}
    asked = backend.requests("forecasting.PlanBudget")[-1]
    assert (asked.WhichOneof("aim"), asked.total_minor, asked.bounds[0].HasField("maximum_minor")) == (
        "total_minor",
        5000,
        True,
    )
