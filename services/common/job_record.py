"""A job as a document."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from services.common.clock import from_micros, to_micros
from services.common.errors import NotFound
from services.common.store.port import Body, Collection, Document, Index

JOBS = Collection("jobs", (Index(("create_time",)), Index(("state",))))


class JobNotFound(NotFound):
    """No job has this id."""


class State(IntEnum):
    """Where a job stands; the numbers are those of ``tessera.common.v1.JobState``."""

    PENDING = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of background work."""

    job_id: str
    kind: str
    state: State
    create_time: datetime
    progress: float = 0.0
    message: str = ""
    end_time: datetime | None = None
    results: dict[str, str] = field(default_factory=dict)


def job_body(job: Job) -> Body:
    """The document of a job."""
    return {
        "kind": job.kind,
        "state": int(job.state),
        "create_time": to_micros(job.create_time),
        "progress": job.progress,
        "message": job.message,
        "end_time": to_micros(job.end_time) if job.end_time else None,
        "results": job.results,
    }


def job_of(document: Document) -> Job:
    """The job in a document."""
    body = document.body
    end = body["end_time"]
    return Job(
        job_id=document.id,
        kind=body["kind"],
        state=State(body["state"]),
        create_time=from_micros(body["create_time"]),
        progress=body["progress"],
        message=body["message"],
        end_time=from_micros(end) if end is not None else None,
        results=dict(body["results"]),
    )
