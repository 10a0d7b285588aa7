"""Keep what was found out about customers as a segment."""

from collections.abc import Callable
from dataclasses import dataclass

from services.common.clock import Clock, to_micros
from services.common.rules import ListCondition, Operator, Rule, ScoreCondition
from services.segmentation.domain.customer_list import CustomerList
from services.segmentation.domain.funnel import FunnelInvalid, check_funnel, drop_off_rule
from services.segmentation.domain.persona import ClusterNotFound
from services.segmentation.domain.saved_segment import (
    LISTED_MAX,
    DropOff,
    DropOffTooLarge,
    LookalikeSource,
    PersonaSource,
    Source,
)
from services.segmentation.domain.scores import cluster_score, lookalike_score
from services.segmentation.domain.segment import Segment
from services.segmentation.handlers.clustering import ClusteringWork
from services.segmentation.handlers.create_segment import create_segment
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.lookalikes import LookalikeWork
from services.segmentation.ports import Analytics, Insights, Lists, Request, Segments


@dataclass(frozen=True, slots=True)
class _Draft:
    """What a segment would be."""

    name: str
    description: str
    rule: Rule


@dataclass(frozen=True)
class Saving:
    """What the use case needs."""

    segments: Segments
    lists: Lists
    analytics: Analytics
    insights: Insights
    evaluation: Evaluation
    clustering: ClusteringWork
    lookalikes: LookalikeWork
    clock: Clock
    new_id: Callable[[], str]

    async def save(self, tenant: str, request: Request, name: str, description: str, source: Source) -> Segment:
        """The new segment, or the one that the same request made before; ``FunnelInvalid``, ``RuleInvalid``,
        ``ClusteringNotFound``, ``ClusterNotFound``, ``LookalikeNotFound``, ``ShareInvalid``, ``DropOffTooLarge``."""
        answered = await self.segments.answered(tenant, request)
        if answered is not None:
            return answered
        draft = await self._draft(tenant, request, name, source)
        return await create_segment(
            self.segments,
            self.evaluation,
            self.analytics,
            self.clock,
            self.new_id,
            tenant,
            request,
            name or draft.name,
            description or draft.description,
            draft.rule,
        )

    async def _draft(self, tenant: str, request: Request, name: str, source: Source) -> _Draft:
        match source:
            case DropOff():
                return await self._of_funnel(tenant, request, name, source)
            case PersonaSource(clustering_id, cluster):
                found = await self.clustering.get(tenant, clustering_id)
                persona = next((each for each in found.personas if each.cluster == cluster), None)
                if persona is None:
                    raise ClusterNotFound(f"clustering {found.clustering_id} has no cluster {cluster}", cluster=cluster)
                rule = ScoreCondition(cluster_score(found.clustering_id), Operator.EQUALS, (float(cluster),))
                return _Draft(persona.name, persona.description, rule)
            case LookalikeSource(lookalike_id, share):
                lookalike = await self.lookalikes.get(tenant, lookalike_id)
                size = float(lookalike.size(share))
                rule = ScoreCondition(lookalike_score(lookalike_id), Operator.AT_MOST, (size,))
                return _Draft(lookalike.name or "Lookalikes", f"The {share:.0%} most alike of all candidates.", rule)

    async def _of_funnel(self, tenant: str, request: Request, name: str, source: DropOff) -> _Draft:
        funnel, step = source.funnel, source.step
        check_funnel(funnel, self.analytics.pattern_fault)
        if step + 1 >= len(funnel.steps):
            raise FunnelInvalid(f"no step follows step {step + 1}: nobody can drop out of it", field="drop_off.step")
        title = f"Dropped out after step {step + 1} ({funnel.steps[step].event or 'any event'})"
        rule = drop_off_rule(funnel, step)
        if rule is None:
            rule = ListCondition(await self._listed(tenant, request, name or title, source))
        return _Draft(title, "", rule)

    async def _listed(self, tenant: str, request: Request, name: str, source: DropOff) -> str:
        """The list of those who drop out now, where no rule can say it."""
        now = to_micros(self.clock())
        found = await self.insights.dropping_off(tenant, source.funnel, source.step, now, LISTED_MAX + 1)
        if len(found) > LISTED_MAX:
            text = f"more than {LISTED_MAX:,} customers drop out; look at a shorter time of entering"
            raise DropOffTooLarge(text, maximum=LISTED_MAX)
        own = Request(f"{request.request_id}:list" if request.request_id else "", request.fingerprint, request.author)
        list_id = await self.lists.answered(tenant, own)
        if list_id is None:
            list_id = self.new_id()
            description = "Who dropped out of a funnel when a segment was made of it."
            await self.lists.create(tenant, CustomerList(list_id, name[:200], description, now), own)
        await self.lists.change(tenant, list_id, found, listed=True, time=now)
        return list_id
