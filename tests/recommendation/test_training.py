"""Trainings, models and what survives a restart, over gRPC with a real training process."""

import asyncio
import shutil
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tessera.common.v1 import job_pb2
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as pb

from services.common.grpc_errors import error_info
from services.recommendation.adapters.interactions import Lines
from services.recommendation.app import Settings
from services.recommendation.learning.selection import TRANSITION_HALF_LIVES_DAYS
from tests.recommendation.client import Client, ids, reason_of
from tests.recommendation.conftest import Start, record
from tests.recommendation.making import NOW, catalogue, shop


async def models(client: Client) -> list[pb.Model]:
    return list((await client.stub.ListModels(pb.ListModelsRequest(), metadata=client.metadata)).models)


async def rollback(client: Client, request_id: str, version: str = "") -> str:
    request = pb.RollbackModelRequest(request_id=request_id, model_version=version)
    answer: pb.RollbackModelResponse = await client.stub.RollbackModel(request, metadata=client.metadata)
    return str(answer.model.model_version)


def arrays(settings: Settings) -> list[Path]:
    return sorted((settings.data_dir / "recommendation-models").rglob("target.npy"))


async def test_a_model_says_what_it_was_made_of_and_what_was_measured(trained: Client) -> None:
    (model,) = await models(trained)
    purchases = shop().purchases
    assert (model.live, model.dimensions) == (True, 2)
    assert model.algorithm in ("spectral", "spectral_sharp", "linear_autoencoder", "contrastive")
    assert (model.interaction_count, model.customer_count) == (len(purchases), purchases.customer_count)
    assert (model.basket_count, model.item_count) == (purchases.basket_count, purchases.item_count)
    assert 0 < model.history_half_life_duration.seconds <= model.half_life_duration.seconds
    assert model.transition_half_life_duration.seconds / 86_400 in (0, *TRANSITION_HALF_LIVES_DAYS)
    names = {metric.name for metric in model.metrics}
    assert {
        "popular.repeat.ndcg_at_20",
        "model.next.ndcg_at_20",
        "popular.new.recall_at_20",
        "frequency.next.recall_at_20",
    } <= names
    open_ended = ("novelty_at_20", "diversity_at_20")
    assert all(0 <= metric.value <= 1 for metric in model.metrics if not metric.name.endswith(open_ended))
    assert (await trained.status()).live_model == model


async def test_a_second_start_serves_the_same_lists_from_the_snapshot(trained_settings: Settings, start: Start) -> None:
    async with start() as client:
        before = await client.recommend("c3", count=20)
    async with start() as client:
        assert (await client.recommend("c3", count=20)).items == before.items
        assert (await client.status()).live_model.model_version == before.model_version
        assert not (await client.status()).training


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "no manifest"])
async def test_a_damaged_snapshot_is_answered_with_popular_items_and_trained_again(
    trained_settings: Settings, start: Start, damage: str
) -> None:
    (path,) = arrays(trained_settings)
    content = bytearray(path.read_bytes())
    content[-3] ^= 0xFF
    match damage:
        case "flipped":
            path.write_bytes(content)
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "gone":
            path.unlink()
        case _:
            (path.parent / "manifest.json").unlink()
    async with start() as client:
        if damage == "flipped":
            (before,) = await models(client)
            page = await client.stub.ListJobs(pb.ListJobsRequest(), metadata=client.metadata)
            answer = await client.recommend("c1", count=3)
            assert len(answer.items) == 3
            while not (jobs := [job for job in page.jobs if job.job_id.startswith("job_")]):
                page = await client.stub.ListJobs(pb.ListJobsRequest(), metadata=client.metadata)
            assert (await client.ended(jobs[0].job_id)).state == job_pb2.JOB_STATE_SUCCEEDED
            live = (await client.status()).live_model
            assert live.model_version > before.model_version
            assert live.dimensions == 2
        else:
            answer = await client.recommend("c1", count=3)
            assert len(answer.items) == 3
            assert answer.items[0].reasons[0].kind == list_pb.REASON_KIND_POPULAR


async def test_a_training_makes_its_model_live_and_the_one_before_stays_listed(trained: Client) -> None:
    before = (await trained.status()).live_model
    started = await trained.start_training("again", dimensions=4, half_life_duration=Duration(seconds=86_400 * 30))
    assert started.state in (job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING)
    assert (await trained.status()).training
    # It answers with the old model while the new one is made.
    assert (await trained.recommend("c1")).model_version == before.model_version
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await trained.start_training("meanwhile")
    info = error_info(refused.value)
    assert info is not None
    assert (info.reason, info.metadata["job_id"]) == ("TRAINING_IN_PROGRESS", started.job_id)
    assert (await trained.start_training("again", dimensions=4, half_life_duration=Duration(seconds=86_400 * 30))
            ).job_id == started.job_id  # fmt: skip
    job = await trained.ended(started.job_id)
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
    newest, older = await models(trained)
    assert job.results["model_version"] == newest.model_version == (await trained.recommend("c1")).model_version
    assert (newest.live, newest.dimensions, older.live) == (True, 4, False)
    assert older.model_version == before.model_version


async def test_a_rollback_lets_the_model_before_answer_again(trained: Client, start: Start) -> None:
    before = (await trained.status()).live_model.model_version
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rollback(trained, "too-early")
    assert reason_of(refused.value) == "NO_OTHER_MODEL"
    job = await trained.train(dimensions=4)
    after = job.results["model_version"]
    assert (job.results["went_live"], (await trained.recommend("c1")).model_version) == ("true", after)
    assert await rollback(trained, "back") == before
    assert (await trained.recommend("c1")).model_version == before
    assert [(model.model_version, model.live, model.kept) for model in await models(trained)] == [
        (after, False, True),
        (before, True, True),
    ]
    assert await rollback(trained, "forth", after) == after
    # The same request again answers as before, and does nothing.
    assert await rollback(trained, "back") == before
    assert (await trained.recommend("c1")).model_version == after


async def test_a_model_that_is_too_old_is_trained_again_if_something_happened_since(
    trained_settings: Settings, start: Start
) -> None:
    async with start() as client:
        before = (await client.status()).live_model.model_version
    line = Lines(["acme"], ["c1"], [], ["late"], ["i1"], [NOW], [1.0], [100], ["USD"])
    await record(trained_settings, line, "2")
    async with start(training_interval_hours=1e-9) as client:
        while (status := await client.status()).live_model.model_version == before:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)
        assert status.live_model.interaction_count == len(shop().purchases) + 1


async def test_a_model_that_does_not_exist_cannot_be_made_live(trained: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rollback(trained, "nowhere", "20200101T000000000000")
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


async def test_a_model_whose_arrays_are_gone_cannot_be_made_live(trained: Client, settings: Settings) -> None:
    before = (await trained.status()).live_model.model_version
    await trained.train(dimensions=4)
    folder = next((settings.data_dir / "recommendation-models").rglob(before))
    shutil.rmtree(folder)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rollback(trained, "gone", before)
    assert reason_of(refused.value) == "MODEL_NOT_KEPT"


async def test_there_is_nothing_to_train_before_the_first_purchase(empty: Client) -> None:
    await empty.upsert(catalogue())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await empty.start_training()
    info = error_info(refused.value)
    assert info is not None
    assert (refused.value.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_INTERACTIONS")


async def test_a_half_life_under_a_day_is_refused(trained: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await trained.start_training(half_life_duration=Duration(seconds=3600))
    info = error_info(refused.value)
    assert info is not None
    assert info.reason == "HALF_LIFE_INVALID"


async def test_a_server_that_stops_in_a_training_ends_the_process_and_fails_the_job(
    trained_settings: Settings, start: Start
) -> None:
    async with start() as client:
        version = (await client.recommend("c1")).model_version
        job_id = (await client.start_training("cut-short")).job_id
    assert not list((trained_settings.data_dir / "recommendation-models").glob(".training-*"))
    async with start() as client:
        job = await client.ended(job_id)
        assert (job.state, "stopped" in job.message) == (job_pb2.JOB_STATE_FAILED, True)
        assert (await client.recommend("c1")).model_version == version
        assert ids(await client.recommend("c1"))


async def test_an_unknown_job_is_not_found(empty: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await empty.ended("nothing")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_training_process_that_breaks_fails_the_job_and_leaves_the_live_model(
    trained: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = (await trained.recommend("c1")).model_version
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    job = await trained.train()
    assert (job.state, "ended with 1" in job.message) == (job_pb2.JOB_STATE_FAILED, True)
    assert (await trained.recommend("c1")).model_version == version
    assert not (await trained.status()).training
