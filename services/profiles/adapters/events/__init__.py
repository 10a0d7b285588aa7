"""Following forecasting: what it expects of customers becomes traits of their profiles.

They stay here: profiles' own feed does not tell them, because whoever follows that can follow forecasting, and a fit
changes them for everybody at once (decision 0022).
"""

from collections.abc import AsyncIterator, Callable

import grpc
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub

from services.common.clock import Clock, to_micros
from services.common.feed import follow
from services.profiles.adapters.events.predictions import expectation_of, model_of
from services.profiles.adapters.predictive_traits import FOLLOWER, StoredPredictiveTraits

Stream = Callable[[str], AsyncIterator[pb.FollowPredictionsResponse]]
"""Batches of forecasting's feed after a cursor."""


def predictions_stream(channel: grpc.aio.Channel) -> Stream:
    """The feed of all tenants."""
    stub = ForecastingServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[pb.FollowPredictionsResponse]:
        async for batch in stub.FollowPredictions(pb.FollowPredictionsRequest(after_cursor=cursor)):
            yield batch

    return stream


class PredictionFollower:
    """Applies forecasting's feed."""

    def __init__(self, stream: Stream, traits: StoredPredictiveTraits, clock: Clock) -> None:
        self._stream, self._traits, self._clock = stream, traits, clock

    async def run(self) -> None:
        """Follow for ever."""
        await follow(FOLLOWER, self._traits.load_cursor, self._stream, self.apply, self._traits.begin_again)

    async def apply(self, batch: pb.FollowPredictionsResponse) -> None:
        """Keep what a batch tells, with its cursor."""
        now = to_micros(self._clock())
        expected = {(each.tenant_id, each.customer_id): expectation_of(each, now) for each in batch.changes}
        models = [(each.tenant_id, model_of(each.customer_model)) for each in batch.models]
        await self._traits.apply(expected, models, batch.cursor)
