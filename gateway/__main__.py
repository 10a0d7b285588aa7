"""``python -m gateway``: serve until SIGTERM."""

import asyncio
import signal
import sys
from importlib import import_module

from services.common.errors import Refusal

ADVICE = "install tessera[gateway], or remove .venv and let make install everything"


def main() -> int:
    """Exit status: 0 after a clean stop, 1 if it could not start."""
    try:
        # Imported late, here and below, so that a package that is missing ends without a traceback.
        import uvloop

        uvloop.run(_serve())
    except Refusal as refusal:
        sys.stderr.write(f"gateway: {refusal.message}\n")
        return 1
    except ModuleNotFoundError as error:
        sys.stderr.write(f"gateway: the package {error.name} is missing; {ADVICE}\n")
        return 1
    return 0


async def _serve() -> None:
    from services.common import memory, telemetry
    from services.common.settings import load

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = import_module("gateway.app")  # not before now, so that a package that is missing is one sentence
    settings = load(app.Settings)
    telemetry.configure(settings)
    async with app.serve(settings):
        memory.settle()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
