"""Records as documents: each kind in a collection of its own, and answers that are kept for replay.

A topic adds its kinds to ``RECORDS``, with the indexes that its lists need, and what its operations answer to
``ANSWERS``.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from services.common.store import Collection
from services.common.store.port import Body
from services.loyalty.adapters.club_records import CLUB_ANSWERS, CLUB_RECORDS
from services.loyalty.adapters.earning_records import EARNING_ANSWERS, EARNING_RECORDS
from services.loyalty.adapters.pricing_records import PRICING_ANSWERS, PRICING_RECORDS
from services.loyalty.adapters.promotion_records import PROMOTION_ANSWERS, PROMOTION_RECORDS, decode, encode
from services.loyalty.adapters.report_records import REPORT_ANSWERS, REPORT_RECORDS
from services.loyalty.domain.merged import MERGED_CUSTOMERS
from services.loyalty.domain.people import MERGED_NAMES
from services.loyalty.domain.records import Kind

T = TypeVar("T")

RECORDS: Mapping[str, Collection] = {
    **PROMOTION_RECORDS,
    **EARNING_RECORDS,
    **REPORT_RECORDS,
    **CLUB_RECORDS,
    **PRICING_RECORDS,
    MERGED_CUSTOMERS.name: Collection(MERGED_CUSTOMERS.name),
    MERGED_NAMES.name: Collection(MERGED_NAMES.name),
}
"""The collection of each kind, by the kind's name."""
ANSWERS: Mapping[str, type] = {
    **PROMOTION_ANSWERS,
    **EARNING_ANSWERS,
    **REPORT_ANSWERS,
    **CLUB_ANSWERS,
    **PRICING_ANSWERS,
}
"""The types of answers that are records or plain dataclasses, by the name they are kept under."""
_NAMES = {type_: name for name, type_ in ANSWERS.items()}


def record_body(record: object) -> Body:
    """A record's document."""
    body: Body = msgspec.to_builtins(record, builtin_types=(bytes,), enc_hook=encode)
    return body


def read_record(kind: Kind[T], body: Body) -> T:
    """The record in a document; fields from after it was written have their defaults."""
    return msgspec.convert(body, kind.type, dec_hook=decode)


def kept_answer(answer: object) -> Body:
    """What is kept of an answer that ``ANSWERS`` names; ``TypeError`` for any other."""
    name = _NAMES.get(type(answer))
    if name is None:
        raise TypeError(f"no answer is a {type(answer).__name__}")
    return {"kind": name, "body": msgspec.to_builtins(answer, builtin_types=(bytes,), enc_hook=encode)}


def read_kept_answer(kept: Body) -> Any:
    """The answer that was kept."""
    return msgspec.convert(kept["body"], ANSWERS[kept["kind"]], dec_hook=decode)
