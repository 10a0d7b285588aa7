"""``make run``: the platform on this machine, the sample retailer in it, and a tour; then serve until Ctrl-C."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from deploy.local import journey, tokens
from deploy.local.load import Loaded, Shop, load, loaded
from deploy.local.mail import COUNT_FILE
from deploy.local.processes import SERVICES, Platform, running
from deploy.local.tour import tour
from services.common.errors import FailedPrecondition, Refusal

TENANT = "demo"
console = Console(highlight=False)


class FolderUnusable(FailedPrecondition):
    """The data folder cannot be written."""


def main() -> int:
    """0 after Ctrl-C or with ``--once``; 1 with one sentence if something is in the way."""
    with _foreground():
        try:
            uvloop.run(_run(once="--once" in sys.argv[1:]))
        except Refusal as refusal:
            console.print(f"[bold red]make run:[/] {refusal.message}", soft_wrap=True)
            return 1
        except TimeoutError:
            console.print(
                "[bold red]make run:[/] the platform took too long to start; the log says why", soft_wrap=True
            )
            return 1
        except KeyboardInterrupt:
            return 0
    return 0


@contextlib.contextmanager
def _foreground() -> Iterator[None]:
    """On a terminal, take the foreground for this process alone, so that Ctrl-C does not break off ``make`` too."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        yield
        return
    parent = os.tcgetpgrp(terminal)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    if os.getpid() != os.getpgrp():
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(terminal, parent)
        os.close(terminal)


async def _run(*, once: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = asyncio.create_task(_show(stop, once=once))
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    console.print("stopped; the data stays in the folder above, `make run` finds it again")


async def _show(stop: asyncio.Event, *, once: bool) -> None:
    folder = _folder()
    console.print(f"[bold]Tessera[/] starts six services and a gateway; data and log are in {folder}")
    began = time.monotonic()
    async with running(folder) as platform:
        console.print(f"serving after {time.monotonic() - began:.1f} s")
        token = tokens.mint(folder, tenant=TENANT)
        found = loaded(folder) or await _load(platform, token)
        await tour(console, platform.gateway_url, token, found)
        console.print(f"from the start of the services to the end of the tour: {time.monotonic() - began:.0f} s")
        _print_addresses(platform, token)
        while not once and not stop.is_set():
            platform.check_alive()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)


def _folder() -> Path:
    folder = Path(os.environ.get("TESSERA_DATA_DIR", ".data")).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "platform.log").touch()
    except OSError as error:
        raise FolderUnusable(f"{folder} cannot be written: {error.strerror}; set TESSERA_DATA_DIR") from error
    return folder


async def _load(platform: Platform, token: str) -> Loaded:
    marker = platform.folder / "shift_weeks"
    kept = int(marker.read_text()) if marker.exists() else None
    data = await asyncio.to_thread(journey.read, datetime.now(UTC), kept)
    marker.write_text(str(data.shift_weeks))
    console.print(
        f"loading the Complete Journey, a sample retailer: {data.basket_count:,} orders; all times move by "
        f"{data.shift_weeks} weeks, so that the last order falls within the week before today"
    )
    channels = {name: grpc.aio.insecure_channel(platform.address(name)) for name in SERVICES}
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        found = await load(Shop(platform, channels, token), data, progress)
    for channel in channels.values():
        await channel.close()
    found.write(platform.folder)
    received = (platform.folder / COUNT_FILE).read_text()
    console.print(f"the mail sink of this command has received {received} mails")
    return found


def _print_addresses(platform: Platform, token: str) -> None:
    console.print(f"\nGraphQL      {platform.gateway_url}/graphql (open it in a browser to try queries)")
    for name in SERVICES:
        console.print(f"{name:<14} grpc://{platform.address(name)}")
    console.print(f"token of tenant {TENANT} (30 days):")
    console.print(token, soft_wrap=True)
    console.print("Ctrl-C stops everything")


if __name__ == "__main__":
    sys.exit(main())
