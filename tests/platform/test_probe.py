"""The probe of pods that speak mutual TLS, against a real server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

NAME = "tessera-loyalty.shop"
PROBE = Path(__file__).parents[2] / "deploy" / "k8s" / "probe.py"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the mounted secret: a key, and a certificate for NAME that is its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "ca.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    return folder


@pytest.fixture
def server(certificates: Path) -> Iterator[tuple[str, health.HealthServicer]]:
    """The address of a server that demands certificates, and its health."""
    healthy = health.HealthServicer()
    serving = grpc.server(ThreadPoolExecutor(max_workers=2))
    health_pb2_grpc.add_HealthServicer_to_server(healthy, serving)
    key, certificate, authority = ((certificates / name).read_bytes() for name in ("tls.key", "tls.crt", "ca.crt"))
    credentials = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    port = serving.add_secure_port("127.0.0.1:0", credentials)
    serving.start()
    yield f"127.0.0.1:{port}", healthy
    serving.stop(grace=None).wait()


def probe(address: str, certificates: Path, name: str = NAME) -> int:
    """Exit status of the probe, run as a pod runs it."""
    files = {"TLS_CA_FILE": "ca.crt", "TLS_KEY_FILE": "tls.key", "TLS_CERT_FILE": "tls.crt"}
    environment = {variable: str(certificates / file) for variable, file in files.items()}
    command = [sys.executable, str(PROBE), address, name]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, check=False).returncode


def test_a_healthy_server_passes(server: tuple[str, health.HealthServicer], certificates: Path) -> None:
    assert probe(server[0], certificates) == 0


def test_a_draining_server_does_not_pass(server: tuple[str, health.HealthServicer], certificates: Path) -> None:
    address, healthy = server
    healthy.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert probe(address, certificates) == 1


def test_a_server_of_another_name_does_not_pass(server: tuple[str, health.HealthServicer], certificates: Path) -> None:
    assert probe(server[0], certificates, name="tessera-crm.shop") == 1


def test_where_nobody_listens_the_probe_does_not_pass(certificates: Path) -> None:
    assert probe("127.0.0.1:1", certificates) == 1
