"""Idempotent mutations: the answer to a ``request_id`` is kept in the same commit as the effect (AIP-155)."""

import hashlib

from google.protobuf.message import Message

from services.common.errors import RequestIdReused
from services.common.store.port import Body, Collection, Insert, Store

REQUESTS = Collection("requests")


def fingerprint(request: Message | bytes) -> str:
    """A digest of the request's kind and content: two requests are the same if theirs are equal."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(request, Message):
        digest.update(request.DESCRIPTOR.full_name.encode())
        request = request.SerializeToString(deterministic=True)
    digest.update(request)
    return digest.hexdigest()


async def replayed(store: Store, tenant: str, request_id: str, fingerprint: str) -> Body | None:
    """The first answer, if this request was carried out before; ``RequestIdReused`` if another one was.

    An empty ``request_id`` is never replayed.
    """
    if not request_id:
        return None
    document = await store.get(tenant, REQUESTS, request_id)
    if document is None:
        return None
    if document.body["fingerprint"] != fingerprint:
        raise RequestIdReused(
            f"request_id {request_id} was used before for another request; choose a new one", request_id=request_id
        )
    answer: Body = document.body["answer"]
    return answer


def remember(tenant: str, request_id: str, fingerprint: str, answer: Body) -> list[Insert]:
    """The write that keeps the answer; put it into the commit that holds the effect. None without a request id.

    Of two equal requests at once, the second's commit raises ``AlreadyExists``: ask ``replayed`` again then.
    """
    if not request_id:
        return []
    return [Insert(tenant, REQUESTS, request_id, {"fingerprint": fingerprint, "answer": answer})]
