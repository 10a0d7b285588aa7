"""Delete the model of category preferences, and what it says of customers."""

from contextlib import suppress

from services.common.errors import AlreadyExists
from services.forecasting.domain.preference import MODEL_ID
from services.forecasting.ports import Requests
from services.forecasting.ports.preferences import PreferenceModels


async def delete_preferences(
    models: PreferenceModels, requests: Requests, tenant: str, request_id: str, fingerprint: str
) -> None:
    """Delete all versions; a request that came before deletes nothing more. ``RequestIdReused``.

    One that was broken off was not remembered, and does the rest when it comes again.
    """
    if await requests.replayed(tenant, request_id, fingerprint) is None:
        await models.delete(tenant, MODEL_ID)
        with suppress(AlreadyExists):  # the same request, at once
            await requests.remember(tenant, request_id, fingerprint, {"deleted": True})
