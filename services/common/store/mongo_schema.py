"""The collections and indexes of a service's database, brought to what is declared at start.

Every index leads with the tenant but one: ``seq``, by which the feed of all tenants is read. Indexes that are no longer
declared stay, because pods of the version before may still need them; drop them by hand.
"""

from collections.abc import Sequence
from secrets import token_hex
from typing import Any

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError

from services.common.errors import FailedPrecondition
from services.common.store.mongo_documents import to_body, unique_name, unique_values
from services.common.store.mongo_writes import FEED, Transactions
from services.common.store.port import Collection, Index

_BATCH = 500


async def prepare_database(
    database: "AsyncIOMotorDatabase[Any]", transactions: Transactions, collections: Sequence[Collection]
) -> str:
    """Create what is missing; return the id of the feed. Several processes may do this at once."""
    await database[FEED].update_one(
        {"_id": "feed"}, {"$setOnInsert": {"name": token_hex(4), "last": 0, "published": []}}, upsert=True
    )
    feed: Any = await database[FEED].find_one({"_id": "feed"})
    for collection in collections:
        await _prepare_collection(database, collection)
        if collection.published and collection.name not in feed["published"]:
            await _publish(database, transactions, collection.name)
    return str(feed["name"])


async def _prepare_collection(database: "AsyncIOMotorDatabase[Any]", collection: Collection) -> None:
    stored = database[collection.name]
    present = await stored.index_information()
    for index in collection.indexes:
        fields = [(f"body.{field}", 1) for field in index.fields]
        await stored.create_index([("tenant", 1), *fields, ("_id", 1)], name="_".join(index.fields))
        if index.unique and f"{unique_name(index)}_unique" not in present:
            await _make_unique(stored, index)
    if collection.published:
        await stored.create_index("seq", name="seq")


async def _make_unique(stored: Any, index: Index) -> None:
    """Create the index first, so that what is inserted meanwhile is checked, then enter what was there before."""
    name = unique_name(index)
    await stored.create_index(
        [("tenant", 1), *((f"unique.{name}.{field}", 1) for field in index.fields)],
        name=f"{name}_unique",
        unique=True,
        partialFilterExpression={f"unique.{name}": {"$exists": True}},
    )
    async for document in stored.find({f"unique.{name}": {"$exists": False}}):
        if values := unique_values(index, to_body(document)):
            try:
                await stored.update_one(
                    {"_id": document["_id"], "version": document["version"]}, {"$set": {f"unique.{name}": values}}
                )
            except DuplicateKeyError as error:
                raise FailedPrecondition(
                    f"{stored.name} cannot become unique by {', '.join(index.fields)}: documents share values"
                ) from error


async def _publish(database: "AsyncIOMotorDatabase[Any]", transactions: Transactions, name: str) -> None:
    """Enter the documents of a newly published collection into the feed."""
    while keys := [found["_id"] async for found in database[name].find({"seq": None}, {"_id": 1}).limit(_BATCH)]:
        await transactions.enter_feed(name, keys)
    await database[FEED].update_one({"_id": "feed"}, {"$addToSet": {"published": name}})
