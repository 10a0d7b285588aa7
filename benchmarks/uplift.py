"""Uplift models on the MineThatData e-mail test: how much better than chance they choose whom to mail.

For visits, and for what is spent.

``python -m benchmarks.uplift`` prints a table, with ``--json`` one object a line. The data lie beside the checkout
(``../shared/data``). Customers are split by lot, ten times, 60 in a hundred to learn from and 40 to measure on.
The figures of one split differ by more than what is between the methods, so both means and deviations are printed.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

from benchmarks.harness import Result, report
from services.forecasting.domain.propensity import FloatArray
from services.forecasting.domain.uplift import Trial
from services.forecasting.learning.qini import uplift_quality
from services.forecasting.learning.uplift import fit, taken

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "hillstrom" / "train.parquet"
SPLITS, LEARN_SHARE = 10, 0.6
Scores = Callable[[Trial, FloatArray], FloatArray]


def womens_mail(outcome: str = "visit") -> Trial:
    """Who got the women's mail or none, and who visited, or what was spent (``spend``, in cents), within two weeks."""
    rows = pd.read_parquet(DATA)
    rows = rows[rows["segment"] != "Mens E-Mail"]
    named = pd.get_dummies(rows[["zip_code", "channel"]]).astype(float)
    features = pd.concat([rows[["recency", "history", "mens", "womens", "newbie"]].astype(float), named], axis=1)
    return Trial(
        tuple(rows["row_id"].astype(str)),
        features.to_numpy(),
        (rows["segment"] == "Womens E-Mail").to_numpy(),
        rows[outcome].to_numpy().astype(np.float64) * (100 if outcome == "spend" else 1),
        np.zeros(len(rows), dtype=np.int64),
        of_amounts=outcome == "spend",
    )


def ours(known: Trial, features: FloatArray) -> FloatArray:
    """The model of the service."""
    return fit(known)[0].effects(features)


def two_regressions(known: Trial, features: FloatArray) -> FloatArray:
    """The difference of two logistic regressions, one of each group: what is done without a library."""
    mean, spread = known.features.mean(axis=0), known.features.std(axis=0)
    rows, wanted = ((it - mean) / spread for it in (known.features, features))
    treated, control = (_regressed(rows[group], known.outcome[group]) for group in (known.treated, ~known.treated))
    return _probability(wanted, treated) - _probability(wanted, control)


def two_lines(known: Trial, features: FloatArray) -> FloatArray:
    """The same of amounts: the difference of two least squares."""
    rows, wanted = (np.column_stack([np.ones(len(it)), it]) for it in (known.features, features))
    found = [np.linalg.lstsq(rows[it], known.outcome[it])[0] for it in (known.treated, ~known.treated)]
    difference: FloatArray = wanted @ (found[0] - found[1])
    return difference


def _probability(rows: FloatArray, line: FloatArray) -> FloatArray:
    found: FloatArray = expit(line[0] + rows @ line[1:])
    return found


def _regressed(rows: FloatArray, reached: FloatArray) -> FloatArray:
    def loss(line: FloatArray) -> tuple[float, FloatArray]:
        gap = _probability(rows, line) - reached
        odds = line[0] + rows @ line[1:]
        value = float(np.sum(np.logaddexp(0, odds) - odds * reached) + line[1:] @ line[1:] / 2)
        return value, np.concatenate([[gap.sum()], rows.T @ gap + line[1:]])

    return np.asarray(minimize(loss, np.zeros(rows.shape[1] + 1), jac=True, method="L-BFGS-B").x)


def counted(scores: FloatArray, held: Trial) -> tuple[float, float]:
    """The Qini coefficient as it is counted by group: the area above chance as a share of the best that an order by the
    answer could reach (as scikit-uplift's ``qini_auc_score``), and by treated customer."""
    answer = np.where(held.treated, 1, -1) * held.outcome
    found, chance, _ = _area(scores, held)
    best, _, _ = _area(answer.astype(np.float64), held)
    return (found - chance) / (best - chance), (found - chance) / len(held) / held.treated.sum()


def _area(scores: FloatArray, held: Trial) -> tuple[float, float, float]:
    order = np.argsort(-scores, kind="stable")
    treated, reached = held.treated[order].astype(float), held.outcome[order]
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    control = np.maximum(np.cumsum(1 - treated), 1)
    gain = np.cumsum(reached * treated) - np.cumsum(reached * (1 - treated)) * np.cumsum(treated) / control
    steps, gains = np.append(0, ends + 1), np.append(0.0, gain[ends])
    return float(np.trapezoid(gains, steps)), float(gains[-1] * steps[-1] / 2), float(gains[-1])


def results() -> Iterator[Result]:
    """Everything that can be measured here."""
    trial = womens_mail()
    found = by_splits(trial, {"ours": ours, "two logistic regressions": two_regressions})
    means = {name: np.mean(each, axis=0) for name, each in found.items()}
    peer = "two logistic regressions, this run"
    for at, what in enumerate(("share of the best", "visits a treated customer")):
        mean, other = float(means["ours"][at]), float(means["two logistic regressions"][at])
        yield Result(f"hillstrom Qini, {what}", mean, "", other, peer, ".03 +- .013" if at == 0 else "")
        for name, each in found.items():
            yield Result(f"... deviation over splits, {name}", float(np.std(each, axis=0)[at]), "")
    began = time.process_time()
    _, held_out, _ = fit(trial)
    took = time.process_time() - began
    measured = uplift_quality(trial, held_out)
    yield Result("hillstrom, all, each by models that did not see them: Qini", measured.qini.value, "")
    yield Result("... from", measured.qini.low, "")
    yield Result("... to (90 %)", measured.qini.high, "")
    yield Result("... fit", took, "CPU s")


def by_splits(trial: Trial, methods: dict[str, Scores]) -> dict[str, list[tuple[float, float]]]:
    """What each method comes to in each split, on customers whom it did not see."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for split in range(SPLITS):
        learn = np.random.default_rng(split).random(len(trial)) < LEARN_SHARE
        known, held = taken(trial, learn), taken(trial, ~learn)
        for name, scores in methods.items():
            found[name].append(counted(scores(known, held.features), held))
    return found


def of_amounts() -> Iterator[Result]:
    """The same of what is spent, by one customer in a hundred."""
    trial = womens_mail("spend")
    found = {
        name: [it[1] for it in each] for name, each in by_splits(trial, {"ours": ours, "lines": two_lines}).items()
    }
    mean, other = (float(np.mean(found[name])) for name in ("ours", "lines"))
    peer = "two least squares, this run"
    yield Result("hillstrom Qini of spend, cents a treated customer", mean, "", other, peer)
    for name, each in found.items():
        yield Result(f"... deviation over splits, {name}", float(np.std(each)), "")
    _, held_out, _ = fit(trial)
    measured = uplift_quality(trial, held_out)
    for what, it in (("effect, cents a customer", measured.effect), ("Qini area, cents a customer", measured.qini)):
        yield Result(f"hillstrom spend, all, {what}", it.value, "")
        yield Result("... from", it.low, "")
        yield Result("... to (90 %)", it.high, "")


def covered() -> Iterator[Result]:
    """How often the intervals of customers hold the truth, in a simulated experiment."""
    random = np.random.default_rng(1)
    for count in (3_000, 20_000):
        shares, errors = [], []
        for _ in range(3):
            trial, _ = _simulated(random, count)
            fresh, truth = _simulated(random, 5_000)
            said, half = fit(trial)[0].uplift(fresh.features)
            shares.append(float(np.mean(np.abs(said - truth) <= half)))
            errors.append(float(np.corrcoef(said, truth)[0, 1]))
        yield Result(f"simulated, {count}: truth within the interval", 100 * float(np.mean(shares)), "%", goal="90")
        yield Result(f"simulated, {count}: correlation with the truth", float(np.mean(errors)), "")


def _simulated(random: np.random.Generator, count: int) -> tuple[Trial, FloatArray]:
    features = random.normal(size=(count, 8))
    base = expit(0.8 * features[:, 0] - 1)
    effect = 0.05 + 0.06 * features[:, 1] + 0.08 * (features[:, 2] > 0.5)
    effect = np.clip(effect, -base, 1 - base)
    treated = random.random(count) < 0.5
    reached = random.random(count) < base + treated * effect
    ids = tuple(str(number) for number in range(count))
    return Trial(ids, features, treated, reached.astype(np.float64), np.zeros(count, dtype=np.int64)), effect


if __name__ == "__main__":
    report("Uplift", [*((*results(), *of_amounts()) if DATA.exists() else ()), *covered()])
