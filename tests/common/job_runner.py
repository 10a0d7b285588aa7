"""A process that runs a job without end, on a store that others use too, until it is killed."""

import asyncio
import sys
from collections.abc import Mapping

from services.common.clock import system_clock
from services.common.jobs import COLLECTIONS, Jobs, Progress, Work
from services.common.store.mongo import MongoStore

LEASE_SECONDS = 3.0


def endless(tenant: str, arguments: Mapping[str, str]) -> Work:
    """Work that says that it has begun."""

    async def work(progress: Progress) -> dict[str, str]:
        await progress(0.5, "half")
        sys.stdout.write("half\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
        return {}

    return work


async def main(url: str, database: str) -> None:
    jobs = Jobs(await MongoStore.open(url, database, COLLECTIONS), system_clock, LEASE_SECONDS)
    jobs.resumable("import", endless)
    await jobs.start("acme", "import", endless("acme", {}), "job_i", {"rows": "7"})
    await jobs.start("acme", "train", endless("acme", {}), "job_t")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
