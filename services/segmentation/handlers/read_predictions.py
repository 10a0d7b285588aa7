"""Keep up with what forecasting predicts of customers, and evaluate the segments that depend on it."""

from dataclasses import dataclass

from services.segmentation.domain.scores import PREDICTIONS, score_names
from services.segmentation.domain.segment import dependants
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.ports import Segments
from services.segmentation.ports.predictions import Oracle, Predictions


@dataclass(frozen=True)
class PredictionReader:
    """What the use case needs."""

    oracle: Oracle
    predictions: Predictions
    segments: Segments
    evaluation: Evaluation

    async def tick(self) -> None:
        """Read the predictions of every tenant with a newer model; a model that is replaced meanwhile is read the next
        time."""
        for tenant in await self.segments.tenants():
            version = await self.oracle.version(tenant)
            if version and version != await self.predictions.version(tenant):
                found = await self.oracle.predictions(tenant, version)
                if found is not None:
                    await self.predictions.keep(tenant, version, found)
                    await self._renew(tenant)

    async def _renew(self, tenant: str) -> None:
        rules = (await self.segments.catalogue(tenant)).rules
        own = {each for each, rule in rules.items() if score_names([rule]) & set(PREDICTIONS)}
        if own:
            self.evaluation.renew(tenant, own.union(*(dependants(each, rules) for each in own)))
