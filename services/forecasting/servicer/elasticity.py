"""Elasticities in the contract."""

from typing import Any

import grpc
from tessera.forecasting.v1 import elasticity_pb2 as pb

from services.common.auth import principal
from services.forecasting.domain.elasticity import Elasticity, Pooled
from services.forecasting.domain.measures import Dimension, Granularity
from services.forecasting.handlers.drivers import DriverKeeping
from services.forecasting.handlers.elasticity import ElasticityQuery, get_elasticities
from services.forecasting.handlers.goals import GoalKeeping
from services.forecasting.servicer.enums import known
from services.forecasting.servicer.propensity import micros_of, timestamp_of

Context = grpc.aio.ServicerContext[Any, Any]


class ElasticityRpcs:
    """The rpc about how demand answers to prices."""

    _goals: GoalKeeping
    _drivers: DriverKeeping

    async def GetElasticities(self, request: pb.GetElasticitiesRequest, context: Context) -> pb.GetElasticitiesResponse:
        query = ElasticityQuery(
            dimension=known(Dimension, request.dimension, "dimension"),
            values=tuple(request.values),
            granularity=known(Granularity, request.granularity or Granularity.WEEK, "granularity"),
            currency=request.currency,
            time_zone=request.time_zone,
            start=micros_of(request.start_time) if request.HasField("start_time") else None,
            end=micros_of(request.end_time) if request.HasField("end_time") else None,
            price_driver=request.price_driver,
            promotion_driver=request.promotion_driver,
        )
        found = await get_elasticities(self._goals.lines, self._drivers.drivers, principal().tenant, query)
        return pb.GetElasticitiesResponse(
            elasticities=map(_elasticity, found.found),
            overall=_elasticity(found.overall) if found.overall else None,
            start_time=timestamp_of(found.start),
            end_time=timestamp_of(found.end),
            product_count=found.product_count,
            informative_count=found.informative_count,
        )


def _elasticity(it: Elasticity) -> pb.Elasticity:
    return pb.Elasticity(
        value=it.name,
        price=_figure(it.price) if it.price else None,
        promotion_lift=_figure(it.promotion_lift) if it.promotion_lift else None,
        period_count=it.period_count,
        units=it.units,
        price_variation=it.price_variation,
        warnings=it.warnings,
    )


def _figure(it: Pooled) -> pb.ElasticityFigure:
    return pb.ElasticityFigure(value=it.value, low=it.low, high=it.high, own=it.own)
