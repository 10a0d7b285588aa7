"""The models of all tenants: trained in a process of their own, kept as folders, one of them live."""

import asyncio
import logging
import shutil
import subprocess
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, astuple, fields
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa

from services.common import telemetry
from services.common.clock import Clock
from services.common.errors import FailedPrecondition
from services.common.idempotency import remember
from services.common.store import Collection, Index, Put, Query, Store
from services.common.store.port import Write
from services.recommendation.adapters import snapshots
from services.recommendation.adapters.interactions import ColumnarInteractions
from services.recommendation.adapters.store import ITEMS
from services.recommendation.adapters.training_process import (
    ITEMS_FILE,
    PURCHASES_FILE,
    SIGNALS_FILE,
    DescribedItem,
    Order,
    Step,
)
from services.recommendation.adapters.training_settings import StoredTrainingSettings
from services.recommendation.domain.model import Training
from services.recommendation.ports import Live, Parameters, Progress, Request

log = logging.getLogger(__name__)

MODELS = Collection("models", (Index(("create_time",)),))
LIVE = Collection("live_models")
COLLECTIONS = (MODELS, LIVE)
KEPT_MODELS = 3
DESCRIBED_MAX = 300_000
"""Items of which a training reads what is written of them; of larger catalogues the first by id."""
PAGE = 1000
LOADED_TENANTS_MAX = 100
POINTER_SECONDS = 5.0
"""How long another replica may go on answering with the model before."""
ERROR_LINES = 8
ERRORS = "errors.txt"


class TrainingFailed(FailedPrecondition):
    """The training process ended without a model."""


class StoredModels:
    """The port ``Models``."""

    def __init__(
        self, store: Store, interactions: ColumnarInteractions, folder: Path, clock: Clock, encoder: str = ""
    ) -> None:
        self._store, self._interactions, self._folder, self._clock = store, interactions, folder, clock
        self._encoder = encoder
        self._loaded: OrderedDict[str, tuple[str, Live | None]] = OrderedDict()
        self._loading: dict[str, asyncio.Lock] = {}
        self._pointers: dict[str, tuple[float, str]] = {}

    async def live(self, tenant: str) -> Live | None:
        version = await self._live_version(tenant)
        if not version:
            return None
        loaded = self._loaded.get(tenant)
        if loaded is None or loaded[0] != version:
            async with self._loading.setdefault(tenant, asyncio.Lock()):
                loaded = self._loaded.get(tenant)
                if loaded is None or loaded[0] != version:
                    loaded = version, await self._load(tenant, version)
                    self._loaded[tenant] = loaded
        self._loaded.move_to_end(tenant)
        while len(self._loaded) > LOADED_TENANTS_MAX:
            self._loaded.popitem(last=False)
        return loaded[1]

    async def training_of_live(self, tenant: str) -> Training | None:
        live = await self.live(tenant)
        return live.model.training if live else None

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Training], str]:
        query = Query(order_by="create_time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, MODELS, query)
        return [_training(document.body) for document in page.documents], page.next_cursor

    async def train(self, tenant: str, parameters: Parameters, progress: Progress) -> Training:
        scratch = Path(self._scratch())  # at once: a cancellation in between would leave the folder behind
        try:
            version = f"{self._clock().astimezone(UTC):%Y%m%dT%H%M%S%f}"
            await progress(0.01, "collecting the purchases")
            await self._prepare(tenant, version, parameters, scratch)
            await _run(scratch, progress)
            await asyncio.to_thread(snapshots.publish, scratch / "model", self._path(tenant, version))
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        live = await asyncio.to_thread(snapshots.read, self._path(tenant, version))
        training = live.model.training
        goes_live = parameters.accept_worse or not training.worse_than_live
        await self._store.commit(model_documents(tenant, training, goes_live))
        if goes_live:
            self._answer_with(tenant, version, live)
        answering = await self._live_version(tenant)
        await asyncio.to_thread(snapshots.keep_newest, self._folder_of(tenant), KEPT_MODELS, answering)
        telemetry.histogram("recommendation.training.duration").record(training.train_micros / 1_000_000)
        return training

    async def find(self, tenant: str, version: str) -> Training | None:
        document = await self._store.get(tenant, MODELS, version)
        return _training(document.body) if document else None

    async def kept(self, tenant: str) -> list[str]:
        return await asyncio.to_thread(snapshots.versions, self._folder_of(tenant))

    async def make_live(self, request: Request, version: str) -> None:
        tenant = request.tenant
        live = await asyncio.to_thread(snapshots.read, self._path(tenant, version))
        remembered = remember(tenant, request.id, request.fingerprint, {"model_version": version})
        await self._store.commit([_pointer(tenant, version), *remembered])
        self._answer_with(tenant, version, live)

    async def tenants(self) -> list[str]:
        """Those with a live model, as many as can be loaded at once."""
        page = await self._store.find("*", LIVE, Query(limit=LOADED_TENANTS_MAX))
        return [document.id for document in page.documents]

    async def parameters(self, tenant: str) -> Parameters:
        """How the live model was trained, whether it can be read or not."""
        document = await self._store.get(tenant, MODELS, await self._live_version(tenant))
        if document is None:
            return Parameters()
        training = _training(document.body)
        return Parameters(training.dimensions_asked, training.half_life_asked, training.min_basket_count)

    def clear_scratch(self) -> None:
        """Remove what trainings of a process that died left behind."""
        for left in self._folder.glob(".training-*"):
            shutil.rmtree(left, ignore_errors=True)

    async def _load(self, tenant: str, version: str) -> Live | None:
        try:
            return await asyncio.to_thread(snapshots.read, self._path(tenant, version))
        except snapshots.ModelUnreadable as error:
            log.error("model %s of tenant %s: %s; popular items are answered", version, tenant, error.message)
            return None

    async def _live_version(self, tenant: str) -> str:
        now = asyncio.get_running_loop().time()
        known = self._pointers.get(tenant)
        if known is None or known[0] < now:
            document = await self._store.get("*", LIVE, tenant)
            self._point(tenant, str(document.body["model_version"]) if document else "")
        return self._pointers[tenant][1]

    def _answer_with(self, tenant: str, version: str, live: Live) -> None:
        self._loaded[tenant] = version, live
        self._point(tenant, version)

    def _point(self, tenant: str, version: str) -> None:
        self._pointers[tenant] = asyncio.get_running_loop().time() + POINTER_SECONDS, version

    def _path(self, tenant: str, version: str) -> Path:
        return self._folder_of(tenant) / version

    def _folder_of(self, tenant: str) -> Path:
        return self._folder / f"tenant-{quote(tenant, safe='')}"

    def _scratch(self) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix=".training-", dir=self._folder)

    async def _prepare(self, tenant: str, version: str, parameters: Parameters, scratch: Path) -> None:
        table, position = await self._interactions.purchases(tenant)
        if not table.num_rows:
            raise TrainingFailed("nothing was bought in a positive quantity yet; there is nothing to learn from")
        live, usual = await self._live_version(tenant), await StoredTrainingSettings(self._store).get(tenant)
        order = Order(
            model_version=version,
            dimensions=parameters.dimensions,
            half_life_days=parameters.half_life_days,
            min_basket_count=parameters.min_basket_count,
            cpu_seconds=parameters.cpu_seconds,
            position=position,
            live=str(self._path(tenant, live)) if live else "",
            encoder=self._encoder,
            usual_half_life_days=usual.half_life_days,
            feedback=astuple(usual.feedback_weights) if usual.feedback_weights else None,
        )
        await self._describe(tenant, scratch / ITEMS_FILE)
        shown = await self._interactions.signals(tenant)
        tables = {PURCHASES_FILE: table, SIGNALS_FILE: shown}
        handing_over = asyncio.ensure_future(asyncio.to_thread(_hand_over, tables, order, scratch))
        try:
            await asyncio.shield(handing_over)
        except asyncio.CancelledError:
            await handing_over  # the thread goes on: what it writes is removed once it has ended
            raise

    async def _describe(self, tenant: str, path: Path) -> None:
        """Write what is known of items, a line each."""
        after, left = "", DESCRIBED_MAX
        with path.open("wb") as file:
            while left > 0:
                page = await self._store.find(tenant, ITEMS, Query(limit=min(PAGE, left), after=after))
                file.writelines(msgspec.json.encode(_described(each.id, each.body)) + b"\n" for each in page.documents)
                left -= len(page.documents)
                if not (after := page.next_cursor):
                    return


def _described(item_id: str, body: dict[str, Any]) -> DescribedItem:
    return DescribedItem(item_id, body["title"], tuple(body["categories"]), body["brand"], body["attributes"])


def _hand_over(tables: Mapping[str, pa.Table], order: Order, scratch: Path) -> None:
    (scratch / "order.json").write_bytes(msgspec.json.encode(order))
    for name, table in tables.items():
        with pa.OSFile(str(scratch / name), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)


def _spawn(scratch: Path) -> "subprocess.Popen[bytes]":
    """``subprocess`` and not the loop's own: uvloop forks, and gRPC's fork handlers complain; this does not."""
    command = [sys.executable, "-m", "services.recommendation.adapters.training_process", str(scratch)]
    with (scratch / ERRORS).open("wb") as errors:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)


async def _run(scratch: Path, progress: Progress) -> None:
    """Run the training process to its end; it is killed if the job is cancelled."""
    process = _spawn(scratch)  # at once, about a millisecond: a cancellation in between would leave it running
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> int:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, b"")
        return process.wait()

    reading = asyncio.create_task(asyncio.to_thread(read))
    try:
        while line := await lines.get():
            step = msgspec.json.decode(line, type=Step)
            await progress(step.share, step.message)
    except BaseException:
        process.kill()
        raise
    finally:
        status = await reading
    if status:
        said = (scratch / ERRORS).read_text(errors="replace").strip().splitlines()[-ERROR_LINES:]
        log.error("the training process ended with %d: %s", status, "\n".join(said))
        raise TrainingFailed(f"the training process ended with {status}: {said[-1] if said else 'it said nothing'}")


def model_documents(tenant: str, training: Training, live: bool) -> list[Write]:
    """What is stored of a model, and that it is live."""
    known = Put(tenant, MODELS, training.model_version, asdict(training))
    return [known, _pointer(tenant, training.model_version)] if live else [known]


def _pointer(tenant: str, version: str) -> Put:
    return Put("*", LIVE, tenant, {"model_version": version})


def _training(body: dict[str, Any]) -> Training:
    return Training(**{field.name: body[field.name] for field in fields(Training) if field.name in body})
