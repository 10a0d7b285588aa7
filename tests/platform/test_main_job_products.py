"""The catalogue and the recommendations of ``make run``, against the raw tables."""

from typing import Any

import pytest

from tests.platform.demo import Client
from tests.platform.retailer import Retailer

pytestmark = pytest.mark.timeout(500)

MIN_BASKETS = 5
RECOMMENDATIONS = """query For($user: String!) {
  customer(userId: $user) {
    recommendations(first: 5) { items { itemId score item { title } reasons { kind score purchaseCount } } }
  }
}"""
AROUND = """query Around($id: ID!) {
  product(id: $id) { title }
  similarProducts(id: $id, first: 5) { items { itemId reasons { kind } } }
  boughtTogether(id: $id, first: 50) {
    items { itemId reasons { kind association { basketCount support confidence lift } } }
  }
}"""


def test_every_product_is_in_the_catalogue_and_every_line_was_learnt(client: Client, retailer: Retailer) -> None:
    status = client.call("recommendation", "GetStatus")
    assert (status.item_count, status.interaction_count) == (92_331, 1_469_307)
    model, purchases = status.live_model, retailer.purchases
    assert (model.interaction_count, model.customer_count) == (len(purchases), purchases["household"].nunique())
    assert (model.basket_count, model.item_count) == (purchases["basket"].nunique(), purchases["product"].nunique())


def test_customers_are_recommended_five_products_with_reasons(client: Client, retailer: Retailer) -> None:
    for household in list(retailer.lifetimes)[::120]:
        items = client.ask(RECOMMENDATIONS, user=str(household))["customer"]["recommendations"]["items"]
        assert len({item["itemId"] for item in items}) == 5
        assert all(item["reasons"] and item["item"]["title"] for item in items)
        assert [item["score"] for item in items] == sorted((item["score"] for item in items), reverse=True)
        own = retailer.purchases[retailer.purchases["household"] == household]
        for item in items:
            baskets = own[own["product"] == int(item["itemId"])]["basket"].nunique()
            for reason in item["reasons"]:
                assert reason["kind"] != "BOUGHT_BEFORE" or reason["purchaseCount"] == baskets


@pytest.mark.parametrize("rank", [0, 10, 300])
def test_products_bought_together_have_their_exact_figures(client: Client, retailer: Retailer, rank: int) -> None:
    product = int(retailer.purchases["product"].value_counts().index[rank])
    expected = {
        other: figures
        for other, figures in retailer.bought_with(product, at_least=MIN_BASKETS).items()
        if other in retailer.catalogue
    }
    items = client.ask(AROUND, id=str(product))["boughtTogether"]["items"]
    assert [int(item["itemId"]) for item in items] == list(expected)[: len(items)]
    assert len(items) == min(50, len(expected))
    for item in items:
        found = _association(item)
        assert tuple(found.values()) == pytest.approx(expected[int(item["itemId"])], rel=1e-12)
        assert found["basketCount"] == expected[int(item["itemId"])][0]


def test_products_have_similar_ones(client: Client, retailer: Retailer) -> None:
    for product in retailer.purchases["product"].value_counts().index[:100:20]:
        items = client.ask(AROUND, id=str(product))["similarProducts"]["items"]
        assert len({item["itemId"] for item in items} - {str(product)}) == 5
        assert all(item["reasons"] for item in items)


def _association(item: dict[str, Any]) -> dict[str, Any]:
    (reason,) = (reason for reason in item["reasons"] if reason["kind"] == "BOUGHT_TOGETHER")
    association = reason["association"]
    assert isinstance(association, dict)
    return association
