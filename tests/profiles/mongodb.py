"""What profiles needs to run on MongoDB."""

import base64

MASTER_KEYS = base64.b64encode(bytes(range(32))).decode()
"""All servers of a session share one database: they open each other's keys."""
