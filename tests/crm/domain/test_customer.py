"""The customer as a message needs them."""

from services.crm.domain.customer import Customer


def test_the_trait_email_wins_over_identifiers() -> None:
    assert Customer("c1", {"email": "a@example.com"}, ("b@example.com",)).email == "a@example.com"
    assert Customer("c1", {"email": " "}, ("b@example.com",)).email == "b@example.com"
    assert Customer("c1", {"email": 7}).email == ""


def test_a_trait_called_id_does_not_hide_the_id() -> None:
    variables = Customer("c1", {"id": "mine", "city": None, "age": 0}).variables()
    assert variables["customer"] == {"id": "c1", "age": 0}


def test_order_times_are_missing_without_orders() -> None:
    assert Customer("c1", {}).variables()["lifetime"] == {"order_count": 0}
    assert "last_order_time" in Customer("c1", {}, order_count=1, last_order_time="2026").variables()["lifetime"]
