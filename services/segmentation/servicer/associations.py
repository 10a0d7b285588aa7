"""Associations over the wire."""

from dataclasses import dataclass

from tessera.segmentation.v1 import association_pb2 as pb
from tessera.segmentation.v1 import segmentation_service_pb2_grpc

from services.common.auth import principal
from services.common.clock import Clock
from services.segmentation.domain.association import AssociationRule, Baskets, Order, Thresholds
from services.segmentation.domain.selection import EventFilter
from services.segmentation.handlers.get_associations import get_associations
from services.segmentation.ports import Analytics, Insights
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.insights import as_of, events_of, timestamp, window_of

RULES_DEFAULT = 100
_DEFAULT = Thresholds()


@dataclass(frozen=True, kw_only=True)
class AssociationRpcs(segmentation_service_pb2_grpc.SegmentationServiceServicer):
    """The rpcs of associations."""

    analytics: Analytics
    insights: Insights
    clock: Clock

    async def GetAssociations(self, request: pb.GetAssociationsRequest, context: Context) -> pb.GetAssociationsResponse:
        found, at = await get_associations(
            self.insights,
            self.analytics.pattern_fault,
            self.clock,
            principal().tenant,
            Baskets(
                events_of(request.basket, "basket") if request.HasField("basket") else EventFilter("Order Completed"),
                window_of(request.window, "window"),
                request.property or "products.category",
            ),
            Thresholds(
                request.support_min if request.HasField("support_min") else _DEFAULT.support,
                request.confidence_min if request.HasField("confidence_min") else _DEFAULT.confidence,
                request.item_count_min or _DEFAULT.size_min,
                request.item_count_max or _DEFAULT.size_max,
                request.consequent,
            ),
            Order(request.order_by or Order.LIFT),
            as_of(request),
        )
        return pb.GetAssociationsResponse(
            rules=map(_rule, found.rules[: request.rule_count_max or RULES_DEFAULT]),
            rule_count=len(found.rules),
            itemset_count=found.itemset_count,
            basket_count=found.basket_count,
            item_count=found.item_count,
            as_of_time=timestamp(at),
        )


def _rule(rule: AssociationRule) -> pb.AssociationRule:
    return pb.AssociationRule(
        antecedent=rule.antecedent,
        consequent=rule.consequent,
        basket_count=rule.count,
        support=rule.support,
        confidence=rule.confidence,
        lift=rule.lift,
        leverage=rule.leverage,
        conviction=rule.conviction,
    )
