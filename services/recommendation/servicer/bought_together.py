"""How a request says by which counts items are bought together."""

from tessera.recommendation.v1 import recommendation_service_pb2 as pb

from services.recommendation.domain.companions import WINDOW_DEFAULT
from services.recommendation.handlers.bought_together import Asked, Variant
from services.recommendation.servicer.messages import known, micros


def read_variant(request: pb.FindBoughtTogetherRequest) -> Asked:
    """Which counts a request wants; ``FieldInvalid``."""
    variant = known(Variant, request.variant or Variant.STRICT, "variant")
    window = micros(request.window_duration) if request.HasField("window_duration") else WINDOW_DEFAULT
    return Asked(variant, window)
