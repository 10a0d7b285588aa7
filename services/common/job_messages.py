"""Jobs as the contracts have them, apart from jobs themselves, which use cases know without knowing the wire."""

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import job_pb2

from services.common.jobs import Job


def to_proto(job: Job) -> job_pb2.Job:
    """The job as the contracts have it."""
    answer = job_pb2.Job(
        job_id=job.job_id, kind=job.kind, state=job_pb2.JobState.ValueType(job.state), progress=job.progress,
        message=job.message, results=job.results,
    )  # fmt: skip
    answer.create_time.FromDatetime(job.create_time)
    if job.end_time is not None:
        ended = Timestamp()
        ended.FromDatetime(job.end_time)
        answer.end_time.CopyFrom(ended)
    return answer
