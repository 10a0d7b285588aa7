"""What is kept for personal prices, as documents: the collection of each kind with its indexes, and kept answers."""

from services.common.store import Collection, Index
from services.loyalty.domain.personal_price import PERSONAL_DISCOUNTS, PERSONAL_PRICES
from services.loyalty.domain.price_history import PRICED_ORDERS
from services.loyalty.domain.price_model import PRICE_CONSENTS, PRICE_EVIDENCE, PRICE_MODELS
from services.loyalty.domain.pricing_policy import PRICING_POLICIES, PriceEstimation, PricingPolicy

PRICING_RECORDS = {
    collection.name: collection
    for collection in (
        Collection(PRICING_POLICIES.name),
        Collection(PRICE_MODELS.name),
        Collection(PRICED_ORDERS.name, (Index(("customer_id",)), Index(("order_time",)))),
        Collection(PRICE_CONSENTS.name, (Index(("customer_id",)),)),
        Collection(PRICE_EVIDENCE.name, (Index(("customer_id",)), Index(("version",)))),
        Collection(PERSONAL_DISCOUNTS.name, (Index(("customer_id",)), Index(("expire_time",)))),
        Collection(
            PERSONAL_PRICES.name,
            (Index(("customer_id", "quote_time")), Index(("offer_id", "quote_time")), Index(("quote_time",))),
        ),
    )
}
PRICING_ANSWERS: dict[str, type] = {"pricing_policy": PricingPolicy, "price_estimation": PriceEstimation}
PRICING_TENANTS = Collection("pricing_tenants")
"""Of all tenants, under the tenant ``*``: who learns prices, by whose consent."""
PRICE_EPOCHS = Collection("price_epochs")
EPOCH_ID = "epoch"
"""One document a tenant, whose version grows when somebody is forgotten or withdraws, so that what was learnt of them
meanwhile does not come back."""
