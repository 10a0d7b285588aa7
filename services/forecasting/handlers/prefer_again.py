"""Say anew, by the newest model, of which categories they are likely to buy who has other orders since a merge."""

import asyncio
from collections.abc import Sequence

from services.forecasting.domain.preference import CategoryPreferenceModel, CategoryPreferences, Tastes
from services.forecasting.handlers.fit_preferences import sayings
from services.forecasting.handlers.touched import touched
from services.forecasting.learning.lightgbm_runtime import missing
from services.forecasting.learning.preference import load_crowd, restored
from services.forecasting.ports.preferences import CategoryTastes, PreferenceModels


async def prefer_again(
    tastes: CategoryTastes, models: PreferenceModels, tenant: str, moved: Sequence[tuple[str, str]]
) -> None:
    """``moved``: whose orders were, and whose they are. Nothing changes where the model knows nothing of the former.

    What all others told of categories stays as it was when the model was fitted. Where the model cannot be asked, of
    who is left is said what was said of them. Again, it changes nothing.
    """
    for model in await models.newest(tenant):
        of = touched(moved, await models.of_customers(tenant, [source for source, _ in moved]))
        if not of:
            continue
        asked = (tenant, model.currency, model.horizon_days, model.as_of, model.categories, of)
        now = await tastes.tastes(*asked)
        gone = set(of) - set(now.moment.ids)
        said = await asyncio.to_thread(_said, model, now)
        if said is None:
            await models.carry(tenant, model.model_id, [pair for pair in moved if pair[0] in gone])
        else:
            await models.correct(tenant, model.model_id, model.version, said, sorted(gone))


def _said(model: CategoryPreferenceModel, now: Tastes) -> list[CategoryPreferences] | None:
    """What the model says of these customers; ``None`` where it cannot be asked on this machine, or any more."""
    if not len(now):
        return []
    trees = None if missing() or "crowd" not in model.learnt else restored(model.learnt)
    if trees is None:
        return None
    return sayings(model, trees, now, load_crowd(model.learnt["crowd"]), slice(0, len(now)))
