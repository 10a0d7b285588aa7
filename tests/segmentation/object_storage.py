"""A real server of S3's protocol (moto) in a process of its own, which checks signatures and permissions.

``python -m tests.segmentation.object_storage`` serves until its input ends, and says on which port.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
_CLAIM = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=x"
_WRITER = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}'


@dataclass(frozen=True)
class ObjectStorage:
    """Where it is, and a key that may put objects and nothing else."""

    url: str
    access_key_id: str
    secret: str

    def bucket(self, name: str) -> str:
        """The address of a new bucket."""
        self._open("PUT", name, "inf")
        return f"{self.url}/{name}"

    def objects(self, bucket: str) -> dict[str, httpx.Response]:
        """All objects of a bucket, in the order of their keys."""
        listed = self._open("GET", f"{bucket}?list-type=2", "inf").text
        keys = sorted(re.findall("<Key>([^<]*)</Key>", listed))
        return {key: self._open("GET", f"{bucket}/{key}", "inf") for key in keys}

    def _open(self, method: str, path: str, unchecked: str) -> httpx.Response:
        """As somebody who may do everything."""
        self._check(unchecked)
        answer = httpx.request(method, f"{self.url}/{path}", headers={"authorization": _CLAIM.format("s3")})
        answer.raise_for_status()
        self._check("0")
        return answer

    def _check(self, unchecked: str) -> None:
        """From now on so many requests are not checked."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content=unchecked).raise_for_status()


@contextmanager
def object_storage() -> Iterator[ObjectStorage]:
    """A server on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.segmentation.object_storage"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        _iam(url, Action="CreateUser", UserName="writer")
        key = _iam(url, Action="CreateAccessKey", UserName="writer")
        _iam(url, Action="PutUserPolicy", UserName="writer", PolicyName="write", PolicyDocument=_WRITER)
        yield ObjectStorage(url, _between(key, "AccessKeyId"), _between(key, "SecretAccessKey"))
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def _iam(url: str, **asked: str) -> str:
    claim = {"authorization": _CLAIM.format("iam")}
    answer = httpx.post(url, data={"Version": "2010-05-08", **asked}, headers=claim)
    answer.raise_for_status()
    return answer.text


def _between(text: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", text)
    assert found is not None
    return found[1]


def _serve() -> None:
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)  # noqa: T201 - the other side reads it
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
