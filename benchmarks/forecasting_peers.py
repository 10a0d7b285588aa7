"""The libraries that forecasts and models of customers are compared with, in an environment of their own.

Their dependencies are not the project's: ``python -m venv FOLDER && FOLDER/bin/pip install statsforecast lifetimes``
makes one, and benchmarks run it where ``--peers=FOLDER/bin/python`` says so. Run there, this file reads arrays from one
file and writes what the library answers, and its seconds of processor time, to another.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_SECONDS_MAX = 1800


def auto_ets(series: Sequence[Array], period: int, horizon: int) -> tuple[Array, float] | None:
    """The forecasts of statsforecast's AutoETS by series and step, and its seconds; ``None`` without peers."""
    sizes = np.array([len(one) for one in series])
    said = _ask("ets", {"values": np.concatenate(series), "sizes": sizes, "shape": np.array([period, horizon])})
    return None if said is None else (said["forecasts"], float(said["seconds"]))


def bg_nbd(frequency: Array, recency: Array, age: Array) -> tuple[Array, float] | None:
    """The parameters r, alpha, a and b that lifetimes' BetaGeoFitter finds, and its seconds; ``None`` without peers."""
    said = _ask("bg_nbd", {"frequency": frequency, "recency": recency, "age": age})
    return None if said is None else (said["parameters"], float(said["seconds"]))


def _ask(what: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]] | None:
    python = next((it.partition("=")[2] for it in sys.argv if it.startswith("--peers=")), None)
    if python is None:
        print(f"# skipped: a peer ({what}) needs --peers=PYTHON, see forecasting_peers.py", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder, "given.npz"), Path(folder, "answer.npz")
        np.savez(given, **dict(arrays))
        command = [python, str(Path(__file__)), what, str(given), str(answer)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS_MAX, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"# skipped: a peer ({what}) failed: {last}", file=sys.stderr)
            return None
        with np.load(answer) as read:
            return {name: read[name] for name in read.files}


def _answer_ets(given: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    from statsforecast.models import AutoETS  # type: ignore[import-not-found]  # a peer, not a dependency

    period, horizon = (int(it) for it in given["shape"])
    series = np.split(given["values"], np.cumsum(given["sizes"])[:-1])
    model = AutoETS(season_length=period)
    model.forecast(y=series[0].copy(), h=horizon)
    began = time.process_time()
    found = [model.forecast(y=one.copy(), h=horizon)["mean"] for one in series]
    return {"forecasts": np.array(found), "seconds": time.process_time() - began}


def _answer_bg_nbd(given: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    from lifetimes import BetaGeoFitter  # type: ignore[import-not-found]  # a peer, not a dependency

    began = time.process_time()
    fitted = BetaGeoFitter().fit(given["frequency"], given["recency"], given["age"])
    seconds = time.process_time() - began
    return {"parameters": np.array([fitted.params_[name] for name in ("r", "alpha", "a", "b")]), "seconds": seconds}


if __name__ == "__main__" and len(sys.argv) == 4:
    answers = {"ets": _answer_ets, "bg_nbd": _answer_bg_nbd}
    with np.load(sys.argv[2]) as asked:
        np.savez(sys.argv[3], **answers[sys.argv[1]]({name: asked[name] for name in asked.files}))
