"""``python -m services NAME…``: run one service (a pod), or several in one process, until SIGTERM."""

import asyncio
import importlib
import signal
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import ModuleType
from typing import Any, cast

import uvloop

from services.common import memory, telemetry
from services.common.errors import Refusal
from services.common.settings import load

NAMES = ("profiles", "segmentation", "recommendation", "forecasting", "loyalty", "crm")


def main(names: list[str]) -> int:
    """Exit status: 0 after a clean stop, 1 if it could not start or broke, 2 for a wrong command line."""
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        print(f"usage: python -m services NAME…   names: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    try:
        uvloop.run(_serve(names))
    except Refusal as refusal:
        print(f"{' '.join(names)}: {refusal.message}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"{' '.join(names)}: the package {error.name} is missing; run `make install`", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 1
    return 0


async def _serve(names: list[str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    modules = [importlib.import_module(f"services.{name}.app") for name in names]
    async with AsyncExitStack() as stack:
        for index, module in enumerate(modules):
            settings = load(module.Settings)
            if index == 0:
                telemetry.configure(settings)
            await stack.enter_async_context(_entry(module)(settings))
        memory.settle()
        await stop.wait()


def _entry(module: ModuleType) -> Any:
    return cast(AbstractAsyncContextManager[object], module.serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
