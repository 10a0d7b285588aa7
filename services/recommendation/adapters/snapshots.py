"""Models on disk: one folder each, written whole, checked when it is read, mapped into memory instead of copied."""

import os
import shutil
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.common.errors import DataLoss
from services.recommendation.adapters.index import FaissIndex
from services.recommendation.adapters.index_building import build, sample_queries, sample_rows, tuning_path
from services.recommendation.adapters.index_kinds import Tuning
from services.recommendation.domain.model import Model, Training, Vectors
from services.recommendation.ports import Live

ARRAYS = (
    "context", "target", "likeness", "recent_buyers", "history_starts", "history_items", "history_weights",
    "history_baskets", "pair_starts", "pair_items", "pair_baskets", "item_baskets",
    "next_starts", "next_items", "next_strengths", "trail_starts", "trail_items", "trail_steps",
    "interest_starts", "interest_items", "interest_weights",
)  # fmt: skip
INTERESTS = ARRAYS[-3:]
"""Models of before views and carts were learnt from do not have these."""
TARGETS, LIKENESSES = "target.index", "likeness.index"
MANIFEST = "manifest.json"


class ModelUnreadable(DataLoss):
    """What is on disk of a model is not what was written."""


def write(model: Model, folder: Path) -> None:
    """Write a model into a new folder. It is whole once the manifest is there, which comes last."""
    folder.mkdir(parents=True)
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", np.ascontiguousarray(getattr(model, name)))
    build(model.target, sample_queries(model), folder / TARGETS)
    if not _same(model):
        build(model.likeness, sample_rows(model.likeness), folder / LIKENESSES)
    for name, content in (
        ("items", list(model.item_ids)),
        ("customers", list(model.customer_ids)),
        ("training", asdict(model.training)),
    ):
        (folder / f"{name}.json").write_bytes(msgspec.json.encode(content))
    sums = {path.name: _checksum(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_bytes(msgspec.json.encode(sums))
    for path in folder.iterdir():
        _sync(path)
    _sync(folder)


def publish(written: Path, folder: Path) -> None:
    """Move a folder that was written to where it is looked for, at once and whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(written, folder)
    _sync(folder.parent)


def read(folder: Path) -> Live:
    """A model with its indexes; ``ModelUnreadable`` if a file is missing, damaged or of another version."""
    model = read_model(folder)
    try:
        targets = _index(model.target, folder / TARGETS)
        return Live(model, targets, targets if _same(model) else _index(model.likeness, folder / LIKENESSES))
    except (OSError, RuntimeError, msgspec.MsgspecError) as error:
        raise ModelUnreadable(f"{folder} cannot be read ({error}); train again") from error


def _index(vectors: Vectors, path: Path) -> FaissIndex:
    if not path.exists():
        return FaissIndex(vectors)
    return FaissIndex(vectors, path, msgspec.json.decode(tuning_path(path).read_bytes(), type=Tuning))


def _same(model: Model) -> bool:
    """Whether targets and likenesses are the same vectors, as those of cosines are: then one index is enough."""
    return model.target.shape == model.likeness.shape and bool(np.array_equal(model.target, model.likeness))


def read_model(folder: Path) -> Model:
    """A model without indexes; ``ModelUnreadable``."""
    try:
        sums: dict[str, int] = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=dict[str, int])
        for name, expected in sums.items():
            if _checksum(folder / name) != expected:
                raise ModelUnreadable(f"{folder / name} is damaged; train again")
        # Plain arrays over the mapped files: indexing a ``memmap`` costs ten times as much.
        arrays: dict[str, Any] = {
            name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
            for name in ARRAYS
            if f"{name}.npy" in sums or name not in INTERESTS
        }
        customer_ids = msgspec.json.decode((folder / "customers.json").read_bytes(), type=list[str])
        return Model(
            training=msgspec.json.decode((folder / "training.json").read_bytes(), type=Training),
            item_ids=msgspec.json.decode((folder / "items.json").read_bytes(), type=list[str]),
            customer_ids=customer_ids,
            **(_no_interests(len(customer_ids)) | arrays),
        )
    except (OSError, ValueError, RuntimeError, msgspec.MsgspecError) as error:
        raise ModelUnreadable(f"{folder} cannot be read ({error}); train again") from error


def _no_interests(customer_count: int) -> dict[str, Any]:
    nothing = np.zeros(customer_count + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
    return dict(zip(INTERESTS, nothing, strict=True))


def keep_newest(folder: Path, count: int, live: str) -> None:
    """Remove all but the newest models of a tenant and the one that is live. What is mapped into memory stays readable
    until it is let go."""
    for old in versions(folder)[:-count]:
        if old != live:
            shutil.rmtree(folder / old, ignore_errors=True)


def versions(folder: Path) -> list[str]:
    """The models of a tenant, oldest first."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.exists() else []


def _checksum(path: Path) -> int:
    sum_so_far = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sum_so_far = zlib.crc32(block, sum_so_far)
    return sum_so_far


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
