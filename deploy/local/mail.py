"""``python -m deploy.local.mail``: accepts mail, keeps none of it, and counts what came, for ``make run``."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from deploy.local import kept
from services.common.errors import Refusal

COUNT_FILE = "mails_received"


async def serve(host: str, port: int, count_file: Path) -> None:
    """Listen until SIGTERM or SIGINT."""
    # Imported here, so that a package that is missing ends without a traceback.
    from aiosmtpd.smtp import SMTP, Envelope, Session

    class Sink:
        """Answers ``250`` to every message and writes how many came to a file, for whoever shows the count."""

        def __init__(self) -> None:
            self._count = kept.read(count_file, int) or 0
            kept.write(count_file, str(self._count))

        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
            self._count += 1
            kept.write(count_file, str(self._count))
            return "250 Message accepted"

    loop = asyncio.get_running_loop()
    sink = Sink()
    server = await loop.create_server(lambda: SMTP(sink, enable_SMTPUTF8=True, loop=loop), host, port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with server:
        await stop.wait()


def main() -> int:
    """Exit status: 0 after a clean stop, 1 if it could not start."""
    folder = Path(os.environ["TESSERA_DATA_DIR"])
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve("127.0.0.1", int(os.environ["MAIL_PORT"]), folder / COUNT_FILE))
    except Refusal as refusal:
        print(f"mail: {refusal.message}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"mail: the package {error.name} is missing; remove .venv and let make install everything", file=sys.stderr
        )
        return 1
    except OSError as error:
        print(f"mail: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
