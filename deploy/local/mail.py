"""``python -m deploy.local.mail``: accepts mail, keeps none of it, and counts what came, for ``make run``."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

COUNT_FILE = "mails_received"


class Sink:
    """Answers ``250`` to every message and writes how many came to a file, for whoever shows the count."""

    def __init__(self, count_file: Path) -> None:
        self._file = count_file
        self._count = int(count_file.read_text()) if count_file.exists() else 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
        self._count += 1
        self._file.write_text(str(self._count))
        return "250 Message accepted"


async def serve(host: str, port: int, count_file: Path) -> None:
    """Listen until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    sink = Sink(count_file)
    server = await loop.create_server(lambda: SMTP(sink, enable_SMTPUTF8=True, loop=loop), host, port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with server:
        await stop.wait()


if __name__ == "__main__":
    folder = Path(os.environ["TESSERA_DATA_DIR"])
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve("127.0.0.1", int(os.environ["MAIL_PORT"]), folder / COUNT_FILE))
