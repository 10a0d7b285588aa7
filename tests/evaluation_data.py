"""Evaluation data sets that lie beside the checkout on some machines and never in it."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def evaluation_data(name: str) -> Path:
    """The folder of a data set; skips the test where it is absent."""
    folder = SHARED_DATA / name
    if not folder.exists():
        pytest.skip(f"the evaluation data {name} is not beside this checkout (../shared/data)")
    return folder
