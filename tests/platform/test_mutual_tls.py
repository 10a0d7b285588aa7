"""Between pods: mutual TLS, where certificates are mounted."""

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.channels import connect, on_behalf_of
from tests.answering import AnsweringSettings, answering

SECONDS = 20
ACME = on_behalf_of("acme")


class Authority:
    """Signs certificates."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        root = self._certificate(self._name, self._key.public_key(), authority=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(root.public_bytes(Encoding.PEM))

    def issue(self, name: str) -> dict[str, Path]:
        """The settings of a process with a certificate of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self.folder / f"{name}.crt"
        certificate.write_bytes(self._certificate(subject, key.public_key()).public_bytes(Encoding.PEM))
        private = self.folder / f"{name}.key"
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return {"tls_cert_file": certificate, "tls_key_file": private, "tls_ca_file": self.file}

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority("authority", tmp_path)


async def test_pods_with_certificates_of_one_authority_talk(
    authority: Authority, configure: Callable[..., Any]
) -> None:
    client = configure(AnsweringSettings, **authority.issue("client"))
    async with (
        answering(configure(AnsweringSettings, **authority.issue("server"))) as up,
        connect(up.address, client) as channel,
    ):
        assert await ProfilesServiceStub(channel).GetStatistics(pb.GetStatisticsRequest(), metadata=ACME) is not None


@pytest.mark.parametrize("stranger", ["nothing", "no certificate", "a certificate of another authority"])
async def test_others_are_refused(
    stranger: str, authority: Authority, configure: Callable[..., Any], tmp_path: Path
) -> None:
    other = Authority("other", tmp_path).issue("stranger")
    certificates = {
        "nothing": {},
        "no certificate": {"tls_ca_file": authority.file},
        "a certificate of another authority": {**other, "tls_ca_file": authority.file},
    }
    async with (
        answering(configure(AnsweringSettings, **authority.issue("server"))) as up,
        connect(up.address, configure(AnsweringSettings, **certificates[stranger])) as channel,
    ):
        stub = ProfilesServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub.GetStatistics(pb.GetStatisticsRequest(), metadata=ACME, timeout=SECONDS)
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
