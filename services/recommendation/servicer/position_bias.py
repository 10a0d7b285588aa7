"""How likely places are looked at, as messages."""

from tessera.recommendation.v1 import position_bias_pb2 as pb

from services.recommendation.domain.examination import Examination


def position_bias_message(examination: Examination) -> pb.PositionBias:
    """What is known of places, or why nothing is."""
    return pb.PositionBias(
        places=[
            pb.PlaceExamination(
                first_position=place.first,
                last_position=place.last,
                examination=place.examined,
                low=place.low,
                high=place.high,
                impression_count=place.impressions,
                click_count=place.clicks,
            )
            for place in examination.places
        ],
        impression_count=examination.impressions,
        click_count=examination.clicks,
        problem=pb.PositionBiasProblem.ValueType(examination.problem),
        pooled=examination.pooled,
    )
