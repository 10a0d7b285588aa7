"""The merge log as documents."""

from dataclasses import asdict, fields
from typing import Any

from services.common.store import Collection, Index, Insert, Put, Write
from services.profiles.adapters.changes import tell
from services.profiles.domain.merge import Merge, MergeRule
from services.profiles.ports import CustomersMerged, CustomersUnmerged

MERGES = Collection(
    "merges",
    (Index(("time",)), Index(("customer_id", "time")), Index(("merged_customer_id", "time")), Index(("active",))),
)
_FIELDS = tuple(field.name for field in fields(Merge) if field.name != "merge_id")


def merge_writes(tenant: str, merge: Merge) -> list[Write]:
    """What a new merge writes: its entry in the log, and the change on the feed."""
    told = CustomersMerged(
        tenant,
        merge.merge_id,
        merge.customer_id,
        merge.merged_customer_id,
        merge.origin_customer_ids,
        merge.merge_time,
    )
    return [Insert(tenant, MERGES, merge.merge_id, merge_body(merge)), tell(told, merge.merge_id)]


def unmerge_writes(tenant: str, merge: Merge, customer_id: str, origins: tuple[str, ...]) -> list[Write]:
    """What taking ``merge`` back writes; ``customer_id`` is whose the ``origins`` were until now.

    The restored customer's document is written too, at its version: of two who take it back one does.
    """
    told = CustomersUnmerged(tenant, merge.merge_id, customer_id, merge.merged_customer_id, origins, merge.unmerge_time)
    return [Put(tenant, MERGES, merge.merge_id, merge_body(merge)), tell(told, merge.merge_id)]


def merge_body(merge: Merge) -> dict[str, Any]:
    """The document of a merge."""
    content = asdict(merge)
    del content["merge_id"]
    return {
        **content,
        "origin_customer_ids": list(merge.origin_customer_ids),
        "rule": merge.rule.value,
        "time": merge.merge_time,
        "active": not merge.unmerge_time,
    }


def read_merge(merge_id: str, body: dict[str, Any]) -> Merge:
    """The merge of a document."""
    content = {name: body[name] for name in _FIELDS}
    content.update(rule=MergeRule(body["rule"]), origin_customer_ids=tuple(body["origin_customer_ids"]))
    return Merge(merge_id, **content)
