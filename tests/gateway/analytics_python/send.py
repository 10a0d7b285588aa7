"""All six calls through Segment's client: ``python send.py <address> <write key>``."""

import sys
from importlib import import_module
from typing import Any

FAILURES: list[Any] = []
USER = "7"
analytics: Any = import_module("segment.analytics")  # of a folder that only this process sees

analytics.host, analytics.write_key = sys.argv[1], sys.argv[2]
analytics.gzip = True
analytics.max_retries = 0
analytics.on_error = lambda error, items: FAILURES.append(error)

analytics.identify(USER, {"city": "Lyon"})
analytics.track(USER, "Product Viewed", {"product_id": "p1"})
analytics.page(USER, "Shop", "Home", {"url": "https://shop.example/"})
analytics.screen(USER, "Shop", "Start")
analytics.group(USER, "family", {"size": 4})
analytics.alias("device", USER)
analytics.shutdown()

sys.exit(f"not sent: {FAILURES}" if FAILURES else 0)
