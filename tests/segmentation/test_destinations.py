"""Destinations: what an address may be, how deliveries are signed, and how long one is tried."""

import base64
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Refusal
from services.common.sealing import MasterKey, MasterKeyUnusable
from services.segmentation.adapters.destinations import DestinationSecretUnreadable, Secrets
from services.segmentation.domain.delivery import (
    SECOND,
    Outcome,
    Parcel,
    Patience,
    Progress,
    given_up,
    signed,
)
from services.segmentation.domain.destination import (
    AddressRefused,
    AudiencePush,
    DestinationInvalid,
    check_address,
    check_url,
)

HERE = [ipaddress.ip_network("127.0.0.0/8")]
NOW = 1_760_000_000 * SECOND
MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "example.com/hook",
        "https://",
        "https://user:word@example.com/",
        "https://example.com/#part",
        "http://example.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exam ple.com/",
        "https://ex\u00e4mple.com/",
        "https://[::1/",
        "https://example.com/\r\nx: y",
    ],
)
def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(DestinationInvalid):
        check_url(url, [])


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
    ],
)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        check_address(host, host, [], public=True)
    if "%" not in host:
        with pytest.raises(AddressRefused):
            check_url(f"https://[{host}]/" if ":" in host else f"https://{host}/", [])


def test_a_public_address_is_one_and_an_allowed_network_is_allowed() -> None:
    check_url("https://example.com:8443/hook?a=b", [])
    check_url("https://93.184.216.34/hook", [])
    check_url("http://127.0.0.1:1/", HERE)
    check_address("2606:2800:220:1::1", "example.com", [], public=True)
    check_address("::ffff:127.0.0.1", "here", HERE, public=False)
    with pytest.raises(AddressRefused, match="without encryption"):
        check_address("93.184.216.34", "example.com", HERE, public=False)


def test_signatures_are_those_of_the_standard() -> None:
    # The example of Standard Webhooks' reference libraries.
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    parcel = Parcel("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', {"content-type": "application/json"}, 1)
    headers = signed(parcel, [secret, b"other"], 1_614_265_330 * SECOND + 999_999)
    first, second = headers["webhook-signature"].split(" ")
    assert first == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert second.startswith("v1,")
    assert second != first
    assert (headers["webhook-timestamp"], headers["webhook-id"]) == ("1614265330", parcel.delivery_id)


@given(st.floats(0, 1), st.integers(1, 200))
def test_waits_grow_to_a_limit_and_chance_shortens_them_by_a_half_at_most(chance: float, failures: int) -> None:
    patience = Patience()
    longest = min(patience.first_wait * 2 ** (failures - 1), patience.wait_max)
    assert longest / 2 - 1 <= patience.wait(failures, chance) <= longest
    assert patience.wait(failures, chance, asked=10**15) == 24 * 60 * MINUTE, "heeded, up to a day"


def test_a_destination_is_given_up_after_enough_attempts_or_enough_time_or_when_it_is_gone() -> None:
    patience, progress, failure = Patience(attempts_max=3), Progress(""), Outcome(500, "the answer was 500")
    for _ in range(2):
        progress = progress.failed(failure, patience, 0, NOW)
        assert not given_up(progress, failure, patience)
    assert "410" in given_up(progress, Outcome(410, "the answer was 410"), patience)
    late = progress.failed(Outcome(503, "no", retry_after=10**18), Patience(), 0, NOW + 60 * 60 * MINUTE)
    assert "72 hours" in given_up(late, failure, Patience())
    assert "3 attempts" in given_up(progress.failed(failure, patience, 0, NOW), failure, patience)
    assert progress.succeeded(NOW) == Progress("", success_time=NOW)


def test_pushes_keep_to_their_time_and_interval() -> None:
    push = AudiencePush(segment_id="s", interval=5 * MINUTE, start=NOW)
    assert push.due(NOW, NOW + MINUTE) == NOW, "one that was missed is made up for"
    assert push.next_start(NOW + 12 * MINUTE) == NOW + 15 * MINUTE, "once, however many were missed"
    assert push.next_start(NOW - MINUTE) == NOW
    assert push.due(NOW + 7 * MINUTE, NOW + 6 * MINUTE) == NOW + 10 * MINUTE, "planned before the interval changed"


def test_secrets_can_be_read_with_the_key_and_at_the_place_they_were_sealed_for() -> None:
    old, new = MasterKey("old", bytes(32)), MasterKey("new", bytes([1] * 32))
    sealed = Secrets([old]).seal(b"secret", "here")
    assert b"secret" not in sealed["sealed"]
    assert Secrets([new, old]).unseal(sealed, "here") == b"secret"
    for secrets, place in ((Secrets([new]), "here"), (Secrets([old]), "there")):
        with pytest.raises(DestinationSecretUnreadable):
            secrets.unseal(sealed, place)
    with pytest.raises(MasterKeyUnusable) as refused:
        Secrets([]).seal(b"secret", "here")
    assert isinstance(refused.value, Refusal)
