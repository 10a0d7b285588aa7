"""Addresses: what is accepted cannot smuggle anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crm.domain.address import LENGTH_MAX, AddressInvalid, domain_of, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a@example.com", "a@example.com"),
        (" first.last+tag@Example.COM ", "first.last+tag@example.com"),
        ("x@bücher.example", "x@xn--bcher-kva.example"),
        ("o'neil@mail.example", "o'neil@mail.example"),
    ],
)
def test_what_smtp_carries_is_accepted(text: str, address: str) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody",
        "@example.com",
        "a@",
        "a@b..example",
        "a@-b.example",
        "a b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "<a@example.com>",
        "a@example.com, b@example.com",
        "jürgen@example.com",
        ".a@example.com",
        "x" * 65 + "@example.com",
        "a@" + ".".join(["b" * 60] * 5),
        "a@" + "ü" * 70 + ".example",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid):
        parse(text)


@given(st.text(max_size=40) | st.builds("{}@{}".format, st.text(max_size=12), st.text(max_size=12)))
def test_an_accepted_address_is_safe_in_a_header_and_in_a_command(text: str) -> None:
    try:
        address = parse(text)
    except AddressInvalid:
        return
    assert address.isascii()
    assert address.isprintable()
    assert not set(address) & set(' <>,;:"()[]\\')
    assert address.count("@") == 1
    assert len(address) <= LENGTH_MAX
    assert domain_of(address)
    assert parse(address) == address
