"""Links by which people leave a list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crm.domain.unsubscribe import UnsubscribeLinkUnknown, is_genuine, read_token, token_of

KEY = bytes(32)
NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=30)


@given(NAMES, NAMES)
def test_a_link_names_its_message_and_is_genuine_with_its_key_alone(tenant: str, message_id: str) -> None:
    token = token_of(KEY, tenant, message_id)
    assert token.replace("-", "").replace("_", "").isalnum()
    found = read_token(token)
    assert found[:2] == (tenant, message_id)
    assert is_genuine(KEY, *found)
    assert not is_genuine(bytes(31) + b"1", *found)
    assert not is_genuine(KEY, tenant, f"{message_id}x", found[2])


@given(st.text(max_size=80))
def test_anything_else_is_no_link_or_not_genuine(token: str) -> None:
    try:
        found = read_token(token)
    except UnsubscribeLinkUnknown:
        return
    assert not is_genuine(KEY, *found)


def test_a_link_without_a_message_is_unknown() -> None:
    with pytest.raises(UnsubscribeLinkUnknown):
        read_token("")
