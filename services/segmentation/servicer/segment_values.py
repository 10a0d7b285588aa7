"""The value of segments over the wire."""

from dataclasses import dataclass

from tessera.segmentation.v1 import segment_value_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock
from services.segmentation.domain.funnel import share
from services.segmentation.domain.segment_value import Spans, Worth
from services.segmentation.handlers.get_segment_value import get_segment_value
from services.segmentation.ports import Insights, Segments
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.insights import as_of, money, timestamp

_DEFAULT = Spans()


@dataclass(frozen=True, kw_only=True)
class SegmentValueRpcs(SegmentationServiceServicer):
    """The rpc of the value of segments."""

    segments: Segments
    insights: Insights
    clock: Clock

    async def GetSegmentValue(self, request: pb.GetSegmentValueRequest, context: Context) -> pb.GetSegmentValueResponse:
        ids = list(dict.fromkeys(request.segment_ids))
        spans = Spans(
            request.window_days or _DEFAULT.window_days,
            request.growth_days or _DEFAULT.growth_days,
            request.lapse_days or _DEFAULT.lapse_days,
            request.response_days or _DEFAULT.response_days,
        )
        found, at = await get_segment_value(
            self.segments, self.insights, self.clock, principal().tenant, ids, spans, request.currency, as_of(request)
        )
        whole = found.everybody.revenue

        def written(segment_id: str, worth: Worth) -> pb.SegmentValue:
            return _value(segment_id, found.currency, worth, whole)

        return pb.GetSegmentValueResponse(
            segments=[written(each, worth) for each, worth in zip(ids, found.segments, strict=True)],
            others=written("", found.others),
            everybody=written("", found.everybody),
            as_of_time=timestamp(at),
        )


def _value(segment_id: str, currency: str, it: Worth, whole: int) -> pb.SegmentValue:
    return pb.SegmentValue(
        segment_id=segment_id,
        customer_count=it.customers,
        earlier_customer_count=it.earlier_customers,
        growth=it.growth,
        buyer_count=it.buyers,
        order_count=it.orders,
        revenue=money(currency, it.revenue),
        revenue_share=share(it.revenue, whole),
        revenue_per_customer=money(currency, it.revenue // it.customers if it.customers else 0),
        order_value=money(currency, it.revenue // it.orders if it.orders else 0),
        repeat_rate=share(it.repeat_buyers, it.buyers),
        lapsed_share=share(it.lapsed, it.ever_buyers),
        margin=money(currency, it.costed_revenue - it.cost) if it.costed_revenue else None,
        margin_known_share=share(it.costed_revenue, it.revenue),
        predicted_customer_count=it.predicted,
        churn_probability_mean=it.churn_probability,
        expected_revenue=money(currency, it.expected_revenue),
        lifetime_value=money(currency, it.lifetime_value),
        campaign_response=_response(currency, it),
    )


def _response(currency: str, it: Worth) -> pb.CampaignResponse:
    return pb.CampaignResponse(
        message_count=it.messages,
        sent_customer_count=it.sent,
        delivered_customer_count=it.delivered,
        opened_customer_count=it.opened,
        clicked_customer_count=it.clicked,
        converted_customer_count=it.converted,
        delivery_rate=share(it.delivered, it.sent),
        open_rate=share(it.opened, it.sent),
        click_rate=share(it.clicked, it.sent),
        conversion_rate=share(it.converted, it.sent),
        attributed_order_count=it.attributed_orders,
        attributed_revenue=money(currency, it.attributed),
    )
