"""The real services, and the gateway, in the process of a test: each on its folder, each reaching the others."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from services.__main__ import NAMES
from tests.conftest import Keyring

NOBODY = "127.0.0.1:1"
"""An address where nothing answers."""


@asynccontextmanager
async def running(
    keyring: Keyring, folder: Path, names: Sequence[str] = NAMES, **settings: Any
) -> AsyncIterator[dict[str, str]]:
    """Serve these services; the address of each. Each knows those before it, which is all that a service asks."""
    addresses: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for name in names:
            module = importlib.import_module(f"{name}.app" if name == "gateway" else f"services.{name}.app")
            own = {key: value for key, value in settings.items() if key in module.Settings.model_fields}
            reached = {f"{other}_addr": addresses.get(other, NOBODY) for other in NAMES}
            chosen = module.Settings(
                port=0,
                data_dir=folder / name,
                auth_public_key_file=keyring.public_key,
                service_token_file=keyring.service_token,
                drain_seconds_max=0,
                **{**reached, **own},
            )
            addresses[name] = (await stack.enter_async_context(module.serve(chosen))).address
        yield addresses


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Ask again until it holds: for what a service does by itself and tells nobody."""
    async with asyncio.timeout(seconds):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)
