"""Answers to requests, as they are kept to be given again."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.common.store.port import Body
from services.loyalty.adapters.documents import (
    entry_body,
    program_body,
    read_entry,
    read_program,
    read_reward,
    reward_body,
)
from services.loyalty.adapters.records import kept_answer, read_kept_answer
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.operations import Expired
from services.loyalty.domain.program import Program
from services.loyalty.domain.refunds import Refunded
from services.loyalty.domain.reward import Reward


def answer_body(answer: object) -> Body:
    """What is kept of an answer, to give it again when its request comes again."""
    match answer:
        case Entry():
            return {"kind": "entry", "id": answer.id}  # entries never change
        case Program():
            return {"kind": "program", "id": answer.id, "body": program_body(answer)}
        case Reward():
            return {"kind": "reward", "id": answer.id, "body": reward_body(answer)}
        case Refunded():
            body = {"entry": entry_body(answer.entry), "left_minor": answer.left_minor}
            return {"kind": "refunded", "id": answer.entry.id, "body": body}
        case Expired():
            return {"kind": "expired", "id": "", "body": asdict(answer)}
    return kept_answer(answer)


def read_answer(answer: Body, entries: Mapping[str, Entry]) -> Any:
    """The answer that was kept, with those of ``entries`` that it names."""
    kind = answer["kind"]
    if kind == "entry" and "body" not in answer:
        return entries[answer["id"]]
    body = answer["body"]
    if kind == "entry":  # from before answers named their entries
        return read_entry(answer["id"], body)
    if kind == "program":
        return read_program(answer["id"], body)
    if kind == "reward":
        return read_reward(body)
    if kind == "refunded":
        return Refunded(read_entry(answer["id"], body["entry"]), body["left_minor"])
    if kind == "expired":
        return Expired(**body)
    return read_kept_answer(answer)
