"""Archives of personal data: files in a temporary folder, and then one ZIP."""

import hashlib
import threading
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from services.common.errors import Unavailable
from services.profiles.adapters.scratch import scratch
from services.profiles.domain.customer_export import KIND, KINDS_MAX, ExportTooLarge
from services.profiles.ports.customer_exports import PersonalRecord

READ_BYTES = 1 << 20


class TemporaryArchives:
    """The port ``Archives``."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max

    @contextmanager
    def open(self) -> Iterator["TemporaryArchive"]:
        with scratch("tessera-export-") as folder:
            archive = TemporaryArchive(folder, self._bytes_max)
            try:
                yield archive
            finally:
                archive.release()


class TemporaryArchive:
    """One archive: written by several threads, closed and read by one."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder, self._bytes_max = folder, bytes_max
        self._lock, self._bytes = threading.Lock(), 0
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._zip: Any = None

    def write(self, service: str, records: Sequence[PersonalRecord]) -> None:
        lines: defaultdict[str, list[str]] = defaultdict(list)
        for kind, text in records:
            lines[kind].append(text.replace("\n", " ") + "\n")  # a line break in JSON is never within a value
        for kind, some in lines.items():
            self._check(service, kind)
            content = "".join(some).encode()
            self._take_room(len(content))
            path = self._path(service, kind)
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                file.write(content)
            self._counts[service][kind] += len(some)

    def drop(self, service: str) -> None:
        with self._lock:
            for kind in self._counts.pop(service, ()):
                path = self._path(service, kind)
                self._bytes -= path.stat().st_size
                path.unlink()

    def close(self, manifest: dict[str, Any]) -> tuple[int, str]:
        path, files = self._folder / "archive.zip", []
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for service in sorted(self._counts):
                for kind, count in sorted(self._counts[service].items()):
                    part, name = self._path(service, kind), f"{service}/{kind}.ndjson"
                    digest = _digest(part)
                    files.append({"path": name, "service": service, "kind": kind, "records": count, "sha256": digest})
                    archive.write(part, name)
            told = {**manifest, "files": files}
            archive.writestr("manifest.json", orjson.dumps(told, option=orjson.OPT_INDENT_2))
        self._zip = path.open("rb")
        return path.stat().st_size, _digest(path)

    def read(self, size: int) -> bytes:
        content: bytes = self._zip.read(size)
        return content

    def release(self) -> None:
        """Let go of the file."""
        if self._zip is not None:
            self._zip.close()

    def _path(self, service: str, kind: str) -> Path:
        return self._folder / service / f"{kind}.ndjson"

    def _check(self, service: str, kind: str) -> None:
        kinds = self._counts[service]
        if not KIND.fullmatch(kind) or (kind not in kinds and len(kinds) >= KINDS_MAX):
            raise Unavailable(f"{service} tells records of kind {kind[:64]!r}, which cannot be a file")

    def _take_room(self, size: int) -> None:
        with self._lock:
            self._bytes += size
            if self._bytes > self._bytes_max:
                text = f"there are more than {self._bytes_max} bytes about the person; raise PROFILES_EXPORT_BYTES_MAX"
                raise ExportTooLarge(text, maximum=self._bytes_max)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
