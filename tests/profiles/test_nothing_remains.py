"""What was said of a person stands nowhere in plain, and after an erasure nothing that is left can be opened."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from tessera.profiles.v1 import computed_trait_pb2, consent_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1 import transfer_pb2 as transfer
from tessera.profiles.v1.identity_pb2 import ListIdentifiersRequest
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.store import Delete, Insert, Query, Store
from services.common.store.mongo import MongoStore
from services.common.store.sqlite import SqliteStore
from services.profiles.adapters.customer_keys import CONTENT_KEYS, CUSTOMER_KEYS
from services.profiles.adapters.identities import IDENTITIES
from services.profiles.app import KEPT, Settings, serve
from tests.conftest import Keyring
from tests.profiles.client import Client, identify, order, track
from tests.profiles.mongodb import MASTER_KEYS
from tests.profiles.test_computed_traits import finished
from tests.profiles.test_customer_exports import DONE, begin, ended
from tests.profiles.test_erasing import erase, receipt, user

EMAIL, PHONE, NAME, USER = "jane.roe@example.com", "+33612345678", "Jane Roemer-Quill", "cust-jane-1"
DEVICE, ADDRESS, STREET = "device-of-jane", "198.51.100.77", "Rue des Lilas 9"
PERSONAL = tuple(each.encode() for each in (EMAIL, PHONE, NAME, USER, DEVICE, ADDRESS, STREET))
OTHER = "somebody.else@example.com"


def known_as(event: pb.Event, **names: str) -> pb.Event:
    """The event, with other names of the person."""
    event.context_json = json.dumps({"externalIds": [{"type": kind, "id": value} for kind, value in names.items()]})
    return event


async def live(acme: Client) -> None:
    """Everything that profiles takes in about a person."""
    last = computed_trait_pb2.ComputedTrait(
        name="street", kind=computed_trait_pb2.COMPUTED_TRAIT_KIND_LAST, event_name="Moved", property="street"
    )
    request = computed_trait_pb2.CreateComputedTraitRequest(computed_trait=last)
    await finished(acme, (await acme.call("CreateComputedTrait", request)).computed_trait.job_id)
    moved = track("t1", USER, DEVICE, name="Moved")
    moved.properties_json, moved.context_json = json.dumps({"street": STREET}), json.dumps({"ip": ADDRESS})
    traits: dict[str, Any] = {"email": EMAIL, "phone": PHONE, "name": NAME}
    answer = await acme.ingest(
        known_as(identify("i1", USER, DEVICE, **traits), email=EMAIL, phone=PHONE), moved, order("o1", USER, 5)
    )
    assert answer.recorded_count == 3
    await acme.ingest(known_as(identify("i2", "other"), email=OTHER))
    said = consent_pb2.NewConsentStatement(
        person=user(USER),
        purpose="news",
        state=consent_pb2.CONSENT_STATE_GRANTED,
        proof=consent_pb2.ConsentProof(ip_address=ADDRESS, wording=f"I, {NAME}, agree", actor=EMAIL),
    )
    await acme.call("SetConsents", consent_pb2.SetConsentsRequest(statements=[said]))
    wrong = track("d1", "visitor")
    wrong.name, wrong.properties_json = "", json.dumps({"guest": {"email": EMAIL, "phone": PHONE}, "to": STREET})
    assert (await acme.ingest(wrong)).rejections
    unreadable = pb.Unreadable(source_text=f"{{ {EMAIL} {NAME}", reason="JSON_INVALID", message=f"at {PHONE}")
    await acme.call("KeepDeadLetters", pb.KeepDeadLettersRequest(unreadable=[unreadable]))
    await _bring_a_file(acme)
    await _export(acme)


async def _bring_a_file(acme: Client) -> None:
    columns = [transfer.ColumnMapping(column="age", target="traits.age", type=transfer.COLUMN_TYPE_NUMBER)]
    wanted = transfer.CreateImportRequest(
        kind=transfer.IMPORT_KIND_CUSTOMERS, format=transfer.TABLE_FORMAT_CSV, columns=columns
    )
    import_id = getattr(await acme.call("CreateImport", wanted), "import").import_id
    data = f"user_id,email,name,age\n{USER},{EMAIL},{NAME},{PHONE} (home)\n".encode()
    await acme.call("UploadImportChunk", transfer.UploadImportChunkRequest(import_id=import_id, offset=0, data=data))
    start = transfer.StartImportRequest(import_id=import_id, dry_run=True)
    await finished(acme, (await acme.call("StartImport", start)).job.job_id)
    (wrong,) = (await acme.call("ListImportErrors", transfer.ListImportErrorsRequest(import_id=import_id))).errors
    assert PHONE in wrong.message


async def _export(acme: Client) -> None:
    job = await begin(acme, user(USER))
    assert (await ended(acme, job.export_id)).state == DONE


class Kept:
    """A service on an engine, and everything that the engine holds."""

    def __init__(self, engine: str, settings: Settings, keyring: Keyring) -> None:
        self.engine, self.settings, self.keyring = engine, settings, keyring
        self.tenant = f"acme{uuid.uuid4().hex[:8]}"

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Client]:
        async with serve(self.settings) as up, grpc.aio.insecure_channel(up.address) as channel:
            yield Client(ProfilesServiceStub(channel), self.keyring.header(self.tenant))

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        opened: Store
        if self.settings.store_url:
            opened = await MongoStore.open(self.settings.store_url, "profiles", KEPT)
        else:
            opened = await SqliteStore.open(self.settings.data_dir / "profiles.sqlite3", KEPT)
        yield opened
        await opened.close()

    async def documents(self) -> dict[str, dict[str, dict[str, Any]]]:
        """All documents of the tenant and of the platform, by collection."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        async with self.store() as store:
            for collection in KEPT:
                for tenant in (self.tenant, "*"):
                    after, more = "", True
                    while more:
                        page = await store.find(tenant, collection, Query(limit=1000, after=after))
                        own = {each.id: each.body for each in page.documents if self._is_own(tenant, each.body)}
                        found.setdefault(collection.name, {}).update(own)
                        after, more = page.next_cursor, bool(page.next_cursor)
        return found

    def _is_own(self, tenant: str, body: dict[str, Any]) -> bool:
        return tenant == self.tenant or body.get("tenant") == self.tenant

    async def raw(self) -> bytes:
        """What is on the disk; of a server elsewhere, what its documents are."""
        documents = msgspec.msgpack.encode(await self.documents())
        if self.settings.store_url:
            return documents
        files = (path for path in self.settings.data_dir.rglob("*") if path.is_file())
        return documents + b"".join(await asyncio.to_thread(lambda: [path.read_bytes() for path in files]))


@pytest.fixture(params=["sqlite", "mongodb"])
def kept(request: pytest.FixtureRequest, configure: Callable[..., Any], keyring: Keyring, mongodb_url: str) -> Kept:
    other = {"store_url": mongodb_url, "master_keys": MASTER_KEYS} if request.param == "mongodb" else {}
    settings = configure(Settings, erasure_services=(), computed_traits_reread_seconds=0, **other)
    return Kept(request.param, settings, keyring)


async def test_nothing_of_a_person_is_in_plain_and_an_erasure_leaves_no_key(kept: Kept, tmp_path: Path) -> None:
    async with kept.served() as acme:
        await live(acme)
        who = (await acme.customer("email", EMAIL)).customer_id
    before, disk = await kept.documents(), await kept.raw()
    assert [each for each in PERSONAL if each in disk] == []
    own = {who: before[CUSTOMER_KEYS.name][who], **before[CONTENT_KEYS.name]}
    # Hers, two dead letters, a file with its wrong rows, an archive; of somebody else nothing but a key.
    assert len(own) == 6
    async with kept.served() as acme:
        (accepted,) = (await erase(acme, user(USER))).erasures
        done = await receipt(acme, accepted.erasure_id, lambda it: it.HasField("finish_time"))
        assert {each.kind for each in done.services[0].removed} >= {
            "customer", "identifier", "event", "consent_statement", "dead_letter", "import_file", "import_error",
            "export", "computed_trait", "encryption_key",
        }  # fmt: skip
        assert (await acme.customer("email", OTHER)).customer_id
    after, disk = await kept.documents(), await kept.raw()
    assert [each for each in PERSONAL if each in disk] == []
    left = {key for name in (CUSTOMER_KEYS.name, CONTENT_KEYS.name) for key in after[name]} & own.keys()
    assert {key.partition(":")[0] for key in left} == {"import-errors"}, "of a file's wrong rows others may be left"
    destroyed = [body["wrapped"] for key, body in own.items() if key not in left]
    assert [each for each in destroyed if each in disk] == [], "the keys are overwritten, not only unlinked"
    backups = msgspec.msgpack.encode({name: before[name] for name in before if not name.endswith("_keys")})
    assert [each for each in PERSONAL if each in backups] == []


async def test_identifiers_from_before_they_were_sealed_are_found_and_sealed_in_the_background(kept: Kept) -> None:
    async with kept.served() as acme:
        await acme.ingest(known_as(identify("i1", USER, DEVICE), email=EMAIL))
        who = (await acme.customer("user_id", USER)).customer_id
    await _unseal_identities(kept, who, {"user_id": USER, "anonymous_id": DEVICE, "email": EMAIL})
    assert EMAIL.encode() in await kept.raw()
    async with kept.served() as acme:
        assert (await acme.customer("email", EMAIL)).customer_id == who
        await acme.ingest(track("t2", anonymous=DEVICE), known_as(identify("i3", USER), phone=PHONE))
        assert (await acme.customer("phone", PHONE)).customer_id == who
        asked = ListIdentifiersRequest(customer_id=who)
        listed = (await acme.call("ListIdentifiers", asked)).identifiers
        assert {each.value for each in listed} == {USER, DEVICE, EMAIL, PHONE}
        await _sealed_again(kept)
        assert (await acme.customer("email", EMAIL)).customer_id == who
        await erase(acme, user(USER))
    disk = await kept.raw()
    assert [each for each in PERSONAL if each in disk] == []


async def _sealed_again(kept: Kept) -> None:
    async with asyncio.timeout(60), kept.store() as store:
        while True:
            found = (await store.find(kept.tenant, IDENTITIES, Query(limit=100))).documents
            if all(each.id.startswith("#") for each in found):
                return
            await asyncio.sleep(0.1)


async def _unseal_identities(kept: Kept, who: str, names: dict[str, str]) -> None:
    async with kept.store() as store:
        found = (await store.find(kept.tenant, IDENTITIES, Query(where={"customer_id": who}))).documents
        assert len(found) == len(names)
        await store.commit([Delete(kept.tenant, IDENTITIES, each.id) for each in found])
        plain = [f"{kind}:{value}" for kind, value in names.items()]
        await store.commit([Insert(kept.tenant, IDENTITIES, key, {"customer_id": who}) for key in plain])
