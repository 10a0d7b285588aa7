"""A process that merges and unmerges until it is killed, and says each time that it was done."""

import asyncio
import random
import sys
from pathlib import Path

from services.common.store.sqlite import SqliteStore
from tests.profiles.histories import KEPT, See, Shop


def say(what: str, merge_id: str) -> None:
    sys.stdout.write(f"{what} {merge_id}\n")
    sys.stdout.flush()


async def main(path: Path) -> None:
    shop = Shop(await SqliteStore.open(path, KEPT), tenant="t")
    await shop.see(*(See(user=f"u{n}") for n in range(30)))
    chance = random.Random(3)
    while True:
        if (holds := await shop.log()) and (len(holds) > 20 or chance.random() < 0.3):
            merge_id = chance.choice(holds).merge_id
            await shop.unmerge(merge_id)
            say("unmerged", merge_id)
        else:
            one, other = chance.sample(await shop.customers(), 2)
            await shop.merge(one.customer_id, other.customer_id)
            say("merged", (await shop.log())[-1].merge_id)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
