"""Starts the platform, loads the sample retailer unless it is there, gives the tour, and serves until told to stop."""

import asyncio
import contextlib
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import grpc
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from deploy.local import journey, tokens
from deploy.local.load import Loaded, Shop, keep_shift, load, loaded, shift_weeks
from deploy.local.mail import COUNT_FILE
from deploy.local.processes import SERVICES, Platform, running
from deploy.local.tour import tour
from services.common.errors import FailedPrecondition

TENANT = "demo"
console = Console(highlight=False)


class FolderUnusable(FailedPrecondition):
    """The data folder cannot be written."""


def run(*, once: bool) -> None:
    """Until Ctrl-C, SIGTERM or the terminal's end; with ``once``, until the end of the tour."""
    uvloop.run(_until_stopped(once=once))


async def _until_stopped(*, once: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT:  # nohup ignores SIGHUP
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = asyncio.create_task(_serve(once=once))
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    console.print("stopped; the data stays in the folder above, `make run` finds it again")


async def _serve(*, once: bool) -> None:
    folder = _folder()
    console.print(f"[bold]Tessera[/] starts six services and a gateway; data and log are in {folder}", soft_wrap=True)
    began = time.monotonic()
    async with running(folder) as platform:
        console.print(f"serving after {time.monotonic() - began:.1f} s")
        await platform.while_alive(_show(platform, began, once=once))


async def _show(platform: Platform, began: float, *, once: bool) -> None:
    token = tokens.mint(platform.folder, tenant=TENANT)
    found = loaded(platform.folder) or await _load(platform, token)
    await tour(console, platform.gateway_url, token, found)
    console.print(f"from the start of the services to the end of the tour: {time.monotonic() - began:.0f} s")
    _print_addresses(platform, token)
    if not once:
        await asyncio.Event().wait()


def _folder() -> Path:
    folder = Path(os.environ.get("TESSERA_DATA_DIR") or ".data").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "platform.log").touch()
    except OSError as error:
        why = "it is not a folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise FolderUnusable(f"{folder} cannot be written: {why}; set TESSERA_DATA_DIR to another folder") from error
    return folder


async def _load(platform: Platform, token: str) -> Loaded:
    data = await asyncio.to_thread(journey.read, datetime.now(UTC), shift_weeks(platform.folder))
    keep_shift(platform.folder, data.shift_weeks)
    console.print(
        f"loading the Complete Journey, a sample retailer: {data.basket_count:,} orders; all times move by "
        f"{data.shift_weeks} weeks, so that the last order falls within the week before today"
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    async with contextlib.AsyncExitStack() as stack:
        addresses = {name: platform.address(name) for name in SERVICES}
        channels = {
            name: await stack.enter_async_context(grpc.aio.insecure_channel(address))
            for name, address in addresses.items()
        }
        with Progress(*columns, console=console) as progress:
            found = await load(Shop(channels, token), data, progress)
    found.write(platform.folder)
    received = (platform.folder / COUNT_FILE).read_text()
    console.print(f"the mail sink of this command has received {received} mails")
    return found


def _print_addresses(platform: Platform, token: str) -> None:
    console.print(
        f"\nGraphQL      {platform.gateway_url}/graphql (open it in a browser to try queries)", soft_wrap=True
    )
    for name in SERVICES:
        console.print(f"{name:<14} grpc://{platform.address(name)}")
    console.print(f"token of tenant {TENANT} (30 days):")
    console.print(token, soft_wrap=True)
    console.print("Ctrl-C stops everything")
