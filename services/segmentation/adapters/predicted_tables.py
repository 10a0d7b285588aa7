"""The analytical tables of what forecasting says of customers, as it was told last."""

import pyarrow as pa

from services.common.columnar import Keep, Table

PREDICTIONS = Table(
    "predictions",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("version", pa.int64()),  # of forecasting's model
            ("time", pa.int64()),  # from when on it predicts
            ("alive", pa.float64()),
            ("churn_probability", pa.float64()),
            ("expected_orders", pa.float64()),
            ("currency", pa.string()),
            ("expected_order_value_minor", pa.int64()),
            ("expected_revenue_minor", pa.int64()),
            ("lifetime_value_minor", pa.int64()),
            ("next_order_time", pa.int64()),  # null if that is too far ahead
        ]
    ),
    key=("tenant", "customer_id"),
    keep=Keep.LAST,
)
PROPENSITIES = Table(
    "propensities",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("model_id", pa.string()),
            ("time", pa.int64()),  # from when on it predicts
            ("probability", pa.float64()),
            ("percentile", pa.int64()),  # 100 for the hundredth of the customers with the highest probability
        ]
    ),
    key=("tenant", "customer_id", "model_id"),
    keep=Keep.LAST,
)
CATEGORY_PREFERENCES = Table(
    "category_preferences",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("category", pa.string()),
            ("time", pa.int64()),  # from when on it predicts
            ("probability", pa.float64()),
            ("place", pa.int64()),  # among the customer's categories: 1 for the likeliest
        ]
    ),
    key=("tenant", "customer_id", "category"),
    keep=Keep.LAST,
)
UPLIFTS = Table(
    "uplifts",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("model_id", pa.string()),
            ("time", pa.int64()),  # from when on it predicts
            ("uplift", pa.float64()),  # points of probability, or minor units
            ("percentile", pa.int64()),  # 100 for the hundredth of the customers with the highest uplift
            ("answer", pa.string()),  # how the customer answers to the treatment: a name of the contract
        ]
    ),
    key=("tenant", "customer_id", "model_id"),
    keep=Keep.LAST,
)
PREDICTED_TABLES = (PREDICTIONS, PROPENSITIES, CATEGORY_PREFERENCES, UPLIFTS)
