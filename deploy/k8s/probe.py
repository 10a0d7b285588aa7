"""Ask a server over mutual TLS whether it is healthy; the probe of pods, where kubelets cannot ask themselves.

    python probe.py ADDRESS NAME

NAME is what the server's certificate is for. Exits 0 only when grpc.health.v1 answers SERVING.
"""

import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 4.0


def serving(address: str, name: str, credentials: grpc.ChannelCredentials) -> bool:
    """Whether the server at ``address``, whose certificate is for ``name``, says that it is SERVING."""
    options = [("grpc.ssl_target_name_override", name)]
    with grpc.secure_channel(address, credentials, options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main(address: str, name: str) -> int:
    """Exit status of the probe."""
    authority, key, certificate = (
        Path(os.environ[variable]).read_bytes() for variable in ("TLS_CA_FILE", "TLS_KEY_FILE", "TLS_CERT_FILE")
    )
    try:
        healthy = serving(address, name, grpc.ssl_channel_credentials(authority, key, certificate))
    except grpc.RpcError as error:
        sys.stderr.write(f"{address}: {error.code().name}: {error.details()}\n")
        return 1
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
