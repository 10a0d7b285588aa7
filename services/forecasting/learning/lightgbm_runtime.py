"""Whether LightGBM can be loaded: it needs the runtime of OpenMP (libgomp, libomp), which not every machine has."""

import importlib


def missing() -> str:
    """Why it cannot be loaded; empty if it can."""
    try:
        importlib.import_module("lightgbm")
    except (ImportError, OSError) as error:
        return str(error)
    return ""
