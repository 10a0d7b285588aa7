"""Files are let go of, whatever becomes of who opened them."""

import asyncio
import os
from pathlib import Path

import pytest

from services.profiles.adapters.tables import open_table
from services.profiles.domain.table_import import TableFormat


async def test_who_is_cancelled_while_a_file_opens_leaves_it_closed(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    os.mkfifo(path)  # opening it and reading from it last until somebody writes
    opening = asyncio.create_task(open_table(path, TableFormat.CSV))
    writer = await asyncio.to_thread(os.open, path, os.O_WRONLY)
    opening.cancel()
    await asyncio.sleep(0)  # so that it is cancelled before there is anything to read
    os.write(writer, b"user_id\n")
    with pytest.raises(asyncio.CancelledError):
        await opening
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"u1\n")
    os.close(writer)
