"""``python -m gateway``: serve until SIGTERM."""

import asyncio
import signal
import sys
from importlib import import_module

import uvloop

from services.common import telemetry
from services.common.errors import Refusal
from services.common.settings import load


def main() -> int:
    """Exit status: 0 after a clean stop, 1 if it could not start."""
    try:
        uvloop.run(_serve())
    except Refusal as refusal:
        sys.stderr.write(f"gateway: {refusal.message}\n")
        return 1
    except ModuleNotFoundError as error:
        sys.stderr.write(f"gateway: the package {error.name} is missing; run `make install`\n")
        return 1
    return 0


async def _serve() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = import_module("gateway.app")  # not before now, so that a package that is missing is one sentence
    settings = load(app.Settings)
    telemetry.configure(settings)
    async with app.serve(settings):
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
