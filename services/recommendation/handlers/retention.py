"""Delete views and carts that are older than the service, or their tenant, wants to keep them."""

from services.recommendation.domain.training_settings import retention_of
from services.recommendation.ports import SettingsStore
from services.recommendation.ports.retention import RecordedSignals

AT_ONCE = 50_000
BATCHES_MAX = 200
"""Of one tenant in one run; what is left goes in the next."""


async def forget_old_signals(
    signals: RecordedSignals, settings: SettingsStore, longest_days: float, now: int, at_once: int = AT_ONCE
) -> dict[str, int]:
    """How many were deleted, by tenant. ``longest_days`` is what the service keeps, 0 for no limit."""
    found: dict[str, int] = {}
    for tenant, oldest in (await signals.oldest_signals()).items():
        kept = retention_of(await settings.get(tenant), longest_days)
        if not kept or oldest >= now - kept:
            continue
        for _ in range(BATCHES_MAX):
            gone = await signals.forget_signals(tenant, now - kept, at_once)
            found[tenant] = found.get(tenant, 0) + gone
            if gone < at_once:
                break
    return found
