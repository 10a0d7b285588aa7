"""What a tenant tells of a list, and an experiment with its lists."""

from typing import Protocol

from tessera.recommendation.v1 import feedback_pb2 as feedback

from services.recommendation.domain.exploration import Explored
from services.recommendation.domain.feedback import Origin
from services.recommendation.domain.policy import members_of


class Named(Protocol):
    """Somebody with names of their own."""

    def own(self, noun: str) -> str: ...


def seen(who: Named, kind: "feedback.FeedbackKind.ValueType") -> feedback.FeedbackEvent:
    """An event of their item in a list of their placement."""
    listed = Origin(5, who.own("home"), 1).named("1")
    return feedback.FeedbackEvent(
        event_id="e1", recommendation_id=listed, item_id=who.own("milk"), kind=kind, visitor_id="v"
    )


def drawn(who: Named) -> list[feedback.FeedbackEvent]:
    """Their item, drawn out of two for a hundred lists of their placement and seen there."""
    pool = [who.own("milk"), who.own("bread")]
    choice = [Explored(pool[0], 0.5, 2, members_of(pool))]
    lists = (Origin(5, who.own("home"), 1).named(str(number), choice) for number in range(100))
    impression = feedback.FEEDBACK_KIND_IMPRESSION
    return [
        feedback.FeedbackEvent(event_id=f"drawn{number}", recommendation_id=each, item_id=pool[0], kind=impression)
        for number, each in enumerate(lists)
    ]


def trial(who: Named) -> feedback.Experiment:
    """Their placement against itself."""
    sides = [feedback.Variant(name=name, share_bp=5000, placement_version=1) for name in ("a", "b")]
    return feedback.Experiment(experiment_id=who.own("trial"), placement_id=who.own("home"), variants=sides)
