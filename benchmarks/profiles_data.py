"""What profiles is loaded with: requests full of orders, and files of customers and of orders."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1 import transfer_pb2 as transfer

BATCH = 500


def batches(count: int) -> Iterator[bytes]:
    """Requests of 500 orders of three lines, of a fifth as many customers; already bytes, so that the load is light."""
    lines = [{"product_id": f"p{n}", "name": "Mug", "price": 4.5, "quantity": 2, "total": 9.0} for n in range(3)]
    for start in range(0, count, BATCH):
        events = []
        for number in range(start, min(start + BATCH, count)):
            said = {"order_id": f"o{number}", "currency": "USD", "total": 27.0, "products": lines}
            events.append(
                pb.Event(
                    message_id=f"m{number}",
                    type=pb.EVENT_TYPE_TRACK,
                    name="Order Completed",
                    user_id=f"u{number * 7919 % max(1, count // 5)}",
                    event_time=Timestamp(seconds=1_700_000_000 + number),
                    properties_json=orjson.dumps(said).decode(),
                )
            )
        yield pb.IngestEventsRequest(events=events).SerializeToString()


def rows_of(kind: transfer.ImportKind, rows: int) -> Iterator[dict[str, list[Any]]]:
    """The columns of a file, ten thousand rows at a time: new customers, or orders of a fifth as many customers."""
    for start in range(0, rows, 10_000):
        numbers = range(start, min(start + 10_000, rows))
        if kind == transfer.IMPORT_KIND_CUSTOMERS:
            yield {
                "user_id": [f"{n * 2654435761 % 2**32:08x}c{n:08x}" for n in numbers],
                "email": [f"{n}@example.com" for n in numbers],
                "city": ["Lyon" for _ in numbers],
                "age": [str(n % 90) for n in numbers],
            }
        else:
            yield {
                "user_id": [f"u{n * 7919 % max(1, rows // 5)}" for n in numbers],
                "name": ["Order Completed" for _ in numbers],
                "event_time": [str(1_700_000_000 + n) for n in numbers],
                "properties": [_ORDER.format(n) for n in numbers],
            }


_ORDER = (
    '{{"order_id": "o{}", "currency": "USD", "total": 27.0, '
    '"products": [{{"product_id": "p1", "name": "Mug", "price": 9.0, "quantity": 3}}]}}'
)


def file_of(kind: transfer.ImportKind, format: transfer.TableFormat, rows: int) -> Iterator[bytes]:
    """The bytes of a file, in parts that can be uploaded."""
    if format == transfer.TABLE_FORMAT_CSV:
        for place, columns in enumerate(rows_of(kind, rows)):
            text = io.StringIO(newline="")
            writer = csv.writer(text)
            if not place:
                writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
            yield text.getvalue().encode()
        return
    sink, written = pa.BufferOutputStream(), None
    for columns in rows_of(kind, rows):
        table = pa.table(columns)
        written = written or pq.ParquetWriter(sink, table.schema, compression="zstd")
        written.write_table(table)
    assert written is not None
    written.close()
    yield sink.getvalue().to_pybytes()
