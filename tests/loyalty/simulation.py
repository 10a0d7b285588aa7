"""A day of the ledger under everything that can go wrong, the same for the same seed.

Clients talk to several processes that share one disk. Processes die in the middle of anything and others take their
place; commits fail before or after they reached the disk; requests come twice at once, and again until they are
answered; the feed is followed by every process. Time is simulated: nothing waits, and nothing depends on the machine.
"""

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from services.common.clock import from_micros
from services.common.errors import Conflict as Lost
from services.common.errors import Refusal, ResourceExhausted, Unavailable
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.store import (
    StoredEntries,
    StoredMembers,
    StoredOrderFeed,
    StoredPrograms,
    StoredRewards,
)
from services.loyalty.adapters.stored_records import StoredEarningRules
from services.loyalty.domain.check import Audit
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.member import Member
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.operations import Operation
from services.loyalty.domain.orders import ApplyOrderEvents, Told
from services.loyalty.handlers.check_ledger import check_ledger
from tests.loyalty.making import (
    NOW,
    TENANT,
    burning,
    earning,
    offering,
    opening,
    order,
    redeeming,
    request,
    told_refund,
)
from tests.loyalty.simulated_disk import Disk, SimulatedStore

PEOPLE = tuple(f"p{number}" for number in range(12))
PROCESSES, CLIENTS, STOCK = 2, 32, 150
FAILING, TWICE, BATCHED = 0.08, 0.1, 0.2
SECONDS_OF_LIFE = 0.1
AGAIN = 250
BATCH = 25
"""What the feed tells at once."""


class _NoSockets(selectors.BaseSelector):
    """Waiting only moves the clock of its loop."""

    def __init__(self, wait: Callable[[float], None]) -> None:
        self._wait, self._keys = wait, dict[Any, selectors.SelectorKey]()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return self._keys[fileobj]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits for somebody else: a deadlock")
        self._wait(timeout)
        return []

    def get_map(self) -> Any:
        return self._keys


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes when nothing is left to do."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        super().__init__(_NoSockets(self._pass))

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._elapsed

    def _pass(self, seconds: float) -> None:
        self._elapsed += max(seconds, 1e-6) if seconds else 0.0


class Process:
    """A service: a ledger, and a follower of the feed."""

    def __init__(self, world: "World") -> None:
        self.store = SimulatedStore(world.disk, world.dice, FAILING)
        self.ledger = StoredLedger(self.store, world.clock)
        self.died = asyncio.get_running_loop().create_future()
        self._follower = asyncio.create_task(self._follow(world))

    def die(self) -> None:
        """Stop as in a power cut: nothing more reaches the disk, nobody gets an answer."""
        self.store.alive = False
        self._follower.cancel()
        self.died.set_result(None)

    async def _follow(self, world: "World") -> None:
        feed = StoredOrderFeed(self.store)
        while True:
            try:
                after = await feed.cursor()
                at = int(after or 0)
                if at >= len(world.feed):
                    await asyncio.sleep(0.01)
                    continue
                told = world.feed[at : at + BATCH]
                await self.ledger.apply_order_events({TENANT: ApplyOrderEvents(told)}, after, str(at + len(told)))
            except (Unavailable, Lost):
                await asyncio.sleep(world.dice.uniform(0, 0.02))


@dataclass
class World:
    """The disk, the processes, what was asked, and what was answered."""

    seed: int
    dice: random.Random
    disk: Disk = field(default_factory=Disk)
    processes: list[Process] = field(default_factory=list)
    dead: list[Process] = field(default_factory=list)
    feed: list[Told] = field(default_factory=list)
    asked: dict[str, Operation[Any]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    """What went wrong, by kind."""

    def clock(self) -> Any:
        """The time of the simulated world."""
        return from_micros(NOW + round(asyncio.get_running_loop().time() * 1_000_000))


@dataclass(frozen=True)
class Outcome:
    """What is left when everything is done."""

    world: World
    audit: Audit
    members: dict[str, Member]
    entries: list[Entry]


def simulate(seed: int, operations: int) -> Outcome:
    """Run so many operations of clients, and half as many events of the feed, under the dice of ``seed``."""
    random.seed(seed)  # the writer's own dice: how long it waits after a conflict
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(_simulate(seed, operations))


async def _simulate(seed: int, operations: int) -> Outcome:
    world = World(seed, random.Random(seed))
    world.processes = [Process(world) for _ in range(PROCESSES)]
    await _ask(world, "open", opening("club"))
    await _ask(world, "mug", offering("mug", 3, stock=STOCK))
    world.feed.extend(_feed(world.dice, operations // 2))
    numbers = iter(range(operations))
    reaper = asyncio.create_task(_reap(world))
    await asyncio.gather(*(_client(world, numbers) for _ in range(CLIENTS)))
    reaper.cancel()
    follower = StoredOrderFeed(world.processes[0].store)
    while await follower.cursor() != str(len(world.feed)):  # noqa: ASYNC110 - the cursor is on the disk
        await asyncio.sleep(0.1)
    await _ask_again(world)
    for process in world.processes:
        process.die()
    return await _outcome(world)


async def _client(world: World, numbers: Any) -> None:
    for number in numbers:
        name, operation = _draw(world.dice, number)
        sendings: list[Coroutine[Any, Any, None]] = [_ask(world, name, operation)]
        if world.dice.random() < TWICE:
            world.met["duplicate"] += 1
            sendings.append(_ask(world, name, operation))
        await asyncio.gather(*sendings)


def _draw(dice: random.Random, number: int) -> tuple[str, Operation[Any]]:
    who, name = dice.choice(PEOPLE), f"n{number}"
    kind = dice.random()
    if kind < 0.5:
        return name, earning(name, dice.randint(1, 9), who)
    if kind < 0.97:
        return name, burning(name, dice.randint(1, 16), who)
    return name, redeeming(name, "mug", who)


def _feed(dice: random.Random, count: int) -> list[Told]:
    """Orders, some of them told twice, refunds of some, and merges that are taken back."""
    told: list[Told] = []
    merged: dict[str, str] = {}
    for number in range(count):
        kind = dice.random()
        if kind < 0.8 or not number:
            origin = dice.choice(PEOPLE)
            made = order(f"o{number}", dice.randint(50, 900), merged.get(origin, origin))
            told += [made] * (2 if dice.random() < 0.05 else 1)
        elif kind < 0.95:
            told.append(told_refund(f"o{dice.randrange(number)}", *([dice.randint(1, 9)] if kind < 0.9 else [])))
        elif merged and kind < 0.975:
            who = dice.choice(sorted(merged))
            told.append(UnmergeTold(f"m{number}", merged.pop(who), who, (who,)))
        else:
            into, who = dice.sample(PEOPLE, 2)
            if who not in merged and into not in merged and who not in merged.values():
                merged[who] = into
                told.append(MergeTold(f"m{number}", into, who))
    return told


async def _ask(world: World, name: str, operation: Operation[Any]) -> None:
    """Ask until there is an answer: of whichever process lives, by the same name."""
    world.asked[name] = operation
    while True:
        process = world.dice.choice(world.processes)
        call = asyncio.ensure_future(_call(world, process, name, operation))
        await asyncio.wait([call, process.died], return_when=asyncio.FIRST_COMPLETED)
        if not call.done():
            world.met["crash"] += 1
            call.cancel()
            continue
        try:
            answer = call.result()
        except (Unavailable, Lost, ResourceExhausted) as error:
            world.met[error.reason] += 1
            await asyncio.sleep(world.dice.uniform(0, 0.05))
            continue
        except Refusal as refusal:
            world.refused[refusal.reason] += 1
            return
        assert world.answers.setdefault(name, answer) == answer, f"{name} was answered twice, differently"
        return


async def _call(world: World, process: Process, name: str, operation: Operation[Any]) -> Any:
    if world.dice.random() >= BATCHED:
        return await process.ledger.post(request(name), operation)
    [outcome] = await process.ledger.post_all(TENANT, [(request(name), operation)])
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome


async def _reap(world: World) -> None:
    """Kill one process after another, and start another in its place."""
    while True:
        await asyncio.sleep(world.dice.expovariate(1 / SECONDS_OF_LIFE))
        at = world.dice.randrange(PROCESSES)
        world.processes[at].die()
        world.dead.append(world.processes[at])
        world.processes[at] = Process(world)
        world.met["death"] += 1


async def _ask_again(world: World) -> None:
    """Every request that was carried out answers as then, whatever has happened since."""
    names, ledger = list(world.answers), world.processes[0].ledger
    while names:
        some = names[-AGAIN:]
        with suppress(Unavailable, Lost):
            again = await ledger.post_all(TENANT, [(request(name), world.asked[name]) for name in some])
            assert again == [world.answers[name] for name in some]
            del names[-AGAIN:]


async def _outcome(world: World) -> Outcome:
    store = SimulatedStore(world.disk, world.dice, failing=0.0)
    programs, members, entries = StoredPrograms(store), StoredMembers(store), StoredEntries(store)
    rules, feed = StoredEarningRules(store), StoredOrderFeed(store)
    audit = await check_ledger(programs, members, entries, StoredRewards(store), feed, rules, TENANT)
    everyone = [member async for page in members.everyone(TENANT) for member in page]
    found = [entry for member in everyone for entry in await entries.of_member(TENANT, member)]
    return Outcome(world, audit, {member.id: member for member in everyone}, found)
