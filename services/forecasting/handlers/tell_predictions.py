"""Tell followers what the newest customer model says: when it is published, and after a start what is left to tell."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.common import telemetry
from services.forecasting.ports import CustomerModels

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class PredictionTelling:
    """Tells one tenant after the other, beside the fits, and does what else ``also`` may have been broken off."""

    def __init__(self, models: CustomerModels, *also: Callable[[], Awaitable[None]]) -> None:
        self._models, self._also = models, also
        self._woken = asyncio.Event()
        self._woken.set()  # what a process before this one did not come to

    def wake(self) -> None:
        """There is a newer model."""
        self._woken.set()

    async def run(self) -> None:
        """Tell, for ever; what fails is told again from its beginning."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.tell()
            except Exception:
                log.exception("predictions were not told to their end and will be again")
                await asyncio.sleep(RETRY_SECONDS)
                self._woken.set()

    async def tell(self) -> None:
        """Tell everything that is untold."""
        for settle in self._also:
            await settle()
        for tenant in await self._models.untold():
            count = await self._models.tell(tenant)
            telemetry.counter("forecasting.predictions.told").add(count)
            log.info("followers are told of %d predictions of tenant %s", count, tenant)
