"""Destinations: made, changed, paused, resumed and deleted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, Conflict
from services.segmentation.domain.delivery import Outcome, Progress, signed, test_parcel
from services.segmentation.domain.destination import (
    DESTINATIONS_MAX,
    ROTATION_MICROS,
    Content,
    Destination,
    DestinationChanged,
    DestinationInvalid,
    DestinationNotFound,
    DestinationNotReady,
    Network,
    State,
    TooManyDestinations,
    TransitionPush,
    check_objects,
    check_url,
    segments_of,
)
from services.segmentation.domain.object_push import ObjectPush
from services.segmentation.domain.schedule import Schedule
from services.segmentation.handlers.get_segment import get_segment
from services.segmentation.handlers.object_pushes import ObjectPusher
from services.segmentation.ports import Memberships, Request, Segments
from services.segmentation.ports.destinations import Courier, Destinations

ATTEMPTS_MAX = 10
READ_AT_ONCE = 500


@dataclass(frozen=True)
class DestinationDesk:
    """What the use cases need. ``wake`` tells whoever delivers that a destination was changed."""

    destinations: Destinations
    segments: Segments
    memberships: Memberships
    courier: Courier
    pusher: ObjectPusher
    clock: Clock
    networks: Sequence[Network]
    new_id: Callable[[], str]
    new_secret: Callable[[], bytes]
    wake: Callable[[], None]

    async def get(self, tenant: str, destination_id: str) -> Destination:
        """The destination; ``DestinationNotFound``."""
        found = await self.destinations.get(tenant, destination_id)
        if found is None:
            raise DestinationNotFound(destination_id)
        return found

    async def create(
        self, tenant: str, request: Request, name: str, url: str, content: Content, secret: bytes = b""
    ) -> Destination:
        """The new destination, or the one that the same request made before; ``DestinationInvalid``,
        ``AddressRefused``, ``SegmentNotFound``, ``TooManyDestinations``."""
        answered = await self.destinations.answered(tenant, request)
        if answered is not None:
            return await self.get(tenant, answered)
        secret = self._secret(url, content, secret)
        await self._check(tenant, url, content)
        if await self.destinations.count(tenant) >= DESTINATIONS_MAX:
            text = f"there are {DESTINATIONS_MAX} destinations, as many as there can be; delete one first"
            raise TooManyDestinations(text, maximum=DESTINATIONS_MAX)
        now = self._now()
        if isinstance(content, Schedule) and not content.start:
            content = replace(content, start=now)
        made = Destination(self.new_id(), name, url, content, State.ACTIVE, "", secret, now, now, 1)
        due = content.start if isinstance(content, Schedule) else 0
        progress = Progress(await self.memberships.newest(), due=due)
        await self.destinations.create(tenant, made, progress, request)
        self.wake()
        return made

    async def update(
        self,
        tenant: str,
        request: Request,
        destination_id: str,
        name: str,
        url: str,
        content: Content,
        version: int,
        secret: bytes = b"",
    ) -> Destination:
        """The destination as it is now; errors as for ``create``, ``DestinationNotFound``, ``DestinationChanged``. Of a
        bucket the secret is kept unless another one is given."""
        await self._check(tenant, url, content)

        def change(found: Destination, now: int) -> Destination:
            if version and version != found.version:
                text = f"destination {destination_id} is at version {found.version}, not {version}; read it again"
                raise DestinationChanged(text, version=found.version)
            if type(content) is not type(found.content):
                raise DestinationInvalid(
                    "what a destination is sent stays of one kind; create another", field="content"
                )
            kept = content
            if isinstance(kept, Schedule) and not kept.start:
                kept = replace(kept, start=found.content.start if isinstance(found.content, Schedule) else now)
            held = self._secret(url, kept, secret, found)
            return replace(found, name=name, url=url, content=kept, secret=held)

        return await self._change(tenant, request, destination_id, change)

    async def pause(self, tenant: str, request: Request, destination_id: str) -> Destination:
        """The destination as it is now; ``DestinationNotFound``."""
        return await self._change(
            tenant, request, destination_id, lambda found, _: replace(found, state=State.PAUSED, reason="")
        )

    async def resume(self, tenant: str, request: Request, destination_id: str, skip_missed: bool) -> Destination:
        """The destination as it is now; ``DestinationNotFound``."""
        skip_to = await self.memberships.newest() if skip_missed else ""

        def change(found: Destination, now: int) -> Destination:
            again = found.generation + 1
            return replace(found, state=State.ACTIVE, reason="", generation=again, skip_to=skip_to)

        return await self._change(tenant, request, destination_id, change)

    async def rotate(self, tenant: str, request: Request, destination_id: str) -> Destination:
        """The destination with a new secret; ``DestinationNotFound``, ``DestinationNotReady``."""

        def change(found: Destination, now: int) -> Destination:
            if isinstance(found.content, ObjectPush):
                raise DestinationNotReady("its secret is the storage's: make another access key there, and update it")
            until = now + ROTATION_MICROS
            return replace(found, secret=self.new_secret(), previous_secret=found.secret, previous_until=until)

        return await self._change(tenant, request, destination_id, change)

    async def push(self, tenant: str, request: Request, destination_id: str) -> Destination:
        """The destination, soon to be pushed to; ``DestinationNotFound``, ``DestinationNotReady``."""

        def change(found: Destination, now: int) -> Destination:
            if isinstance(found.content, TransitionPush):
                raise DestinationNotReady(
                    "the destination is sent transitions as they happen: there is nothing to push"
                )
            if found.state is not State.ACTIVE:
                raise DestinationNotReady("the destination is not active; resume it first")
            return replace(found, asked=now)

        return await self._change(tenant, request, destination_id, change)

    async def test(self, tenant: str, destination_id: str) -> tuple[str, Outcome]:
        """Send a test message once: its id and what came of it; ``DestinationNotFound``."""
        found, now = await self.get(tenant, destination_id), self._now()
        if isinstance(found.content, ObjectPush):
            return await self.pusher.test(tenant, found, found.content)
        parcel = test_parcel(destination_id, f"test_{self.new_id()}", now)
        outcome = await self.courier.send(found.url, signed(parcel, found.secrets(now), now), parcel.body)
        return parcel.delivery_id, outcome

    async def delete(self, tenant: str, request: Request, destination_id: str) -> None:
        """``DestinationNotFound``."""
        if await self.destinations.answered(tenant, request) is None:
            await self.get(tenant, destination_id)
            await self.destinations.delete(tenant, destination_id, request)
        self.wake()
        await self.destinations.sweep(tenant, destination_id)

    async def _change(
        self, tenant: str, request: Request, destination_id: str, change: Callable[[Destination, int], Destination]
    ) -> Destination:
        async def attempt() -> Destination:
            if await self.destinations.answered(tenant, request) is not None:
                return await self.get(tenant, destination_id)
            found, now = await self.get(tenant, destination_id), self._now()
            made = replace(change(found, now), update_time=now, version=found.version + 1)
            await self.destinations.replace(tenant, made, request)
            return made

        changed = await _persisted(attempt)
        self.wake()
        return changed

    async def _check(self, tenant: str, url: str, content: Content) -> None:
        check_url(url, self.networks)
        for segment_id in dict.fromkeys(segments_of(content)):
            await get_segment(self.segments, tenant, segment_id)

    def _secret(self, url: str, content: Content, given: bytes, found: Destination | None = None) -> bytes:
        """What the destination is served with; ``DestinationInvalid``."""
        if not isinstance(content, ObjectPush):
            if given:
                raise DestinationInvalid("only a bucket has a secret of its own", field="secret_access_key")
            return found.secret if found else self.new_secret()
        before = found.content if found else None
        if isinstance(before, ObjectPush) and before.access_key_id == content.access_key_id and found and not given:
            given = found.secret
        check_objects(url, content, given)
        return given

    def _now(self) -> int:
        return to_micros(self.clock())


async def _persisted(attempt: Callable[[], Awaitable[Destination]]) -> Destination:
    """Again where another writer was faster."""
    for number in range(ATTEMPTS_MAX):
        try:
            return await attempt()
        except (Conflict, AlreadyExists) as error:
            if isinstance(error, DestinationChanged) or number == ATTEMPTS_MAX - 1:
                raise
    raise AssertionError("unreachable")


async def destination_naming(destinations: Destinations, tenant: str, segment_id: str) -> str | None:
    """A destination that names the segment, or ``None``."""
    after = ""
    while True:
        page, after = await destinations.page(tenant, READ_AT_ONCE, after)
        for each in page:
            if segment_id in each.segment_ids:
                return each.destination_id
        if not after:
            return None
