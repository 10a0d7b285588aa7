"""Each way to tell what customers spend, on Online Retail's last 13 weeks, by the service's own fit and monitoring.

``python -m benchmarks.customer_methods`` fits the customer model as of 2011-08-31, which chooses its method by the 13
weeks before, and with each method as asked, and has it monitored on the 13 weeks after, which none of them knows.
``--until=2011-05-31 --days=61`` does the same at another moment.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.customer_value import RETAIL_UNTIL, order_lines, retail_lines
from benchmarks.harness import Result, report
from services.common.clock import system_clock
from services.common.columnar import open_columnar
from services.common.jobs import Jobs
from services.common.store import open_store
from services.forecasting.adapters.customer_models import StoredCustomerModels
from services.forecasting.adapters.lines import ORDER_LINES, ColumnarLines
from services.forecasting.adapters.store import StoredRequests
from services.forecasting.app import COLLECTIONS, Settings
from services.forecasting.domain.customers import CustomerModel, FitOptions, Holdout, ValueMethod
from services.forecasting.handlers.fit_customer_model import CustomerFitting, fit_customer_model
from services.forecasting.handlers.get_customers import get_customer_model
from services.forecasting.handlers.monitor_customers import monitor_customers

PEER = "BG/NBD with shrunk spend, reproduced"


async def monitored(days: int, until: int) -> list[tuple[CustomerModel, Holdout]]:
    """A model of the best method and one of each, with what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        async with open_store(settings, COLLECTIONS) as documents, open_columnar(settings, [ORDER_LINES]) as columnar:
            lines, jobs = ColumnarLines(columnar), Jobs(documents, system_clock)
            await lines.append(order_lines(retail_lines()), "1")
            models, requests = StoredCustomerModels(documents), StoredRequests(documents)
            fitting = CustomerFitting(lines, lines, models, requests, jobs, system_clock, lambda: None)
            try:
                return [await _fitted(fitting, FitOptions(days, days, as_of=until, method=it)) for it in ValueMethod]
            finally:
                await jobs.close()


async def _fitted(fitting: CustomerFitting, options: FitOptions) -> tuple[CustomerModel, Holdout]:
    job = await fit_customer_model(fitting, "t", str(options.method), "", options)
    async for state in fitting.jobs.follow("t", job.job_id):
        job = state
    model = await get_customer_model(fitting.models, "t", int(job.results["version"]))
    return model, (await monitor_customers(fitting, "t", model.version))[2]


def methods(days: int = 91, until: int = RETAIL_UNTIL) -> Iterator[Result]:
    """The figures of the method that was chosen, and of each."""
    found = asyncio.run(monitored(days, until))
    for wanted, (model, came) in zip(ValueMethod, found, strict=True):
        name = f"chosen: {model.method.name.lower()}" if wanted is ValueMethod.BEST else wanted.name.lower()
        yield from _figures(f"online_retail {name}", came)
    chosen, _ = found[0]
    for score in chosen.holdout.methods if chosen.holdout else ():
        yield Result(f"... scored on the days before, {score.method.name.lower()}", score.ranking, "")


def _figures(name: str, it: Holdout) -> Iterator[Result]:
    yield Result(f"{name}, revenue Spearman", it.revenue_rank_correlation or 0.0, "", 0.507, PEER, ">= .53")
    yield Result(f"{name}, churn AUC", it.churn_auc or 0.0, "", 0.731, PEER, ">= .75")
    yield Result(f"{name}, top-decile share", it.top_decile_revenue_share or 0.0, "", 0.554, PEER, ">= .57")
    yield Result(f"{name}, churn Brier", it.brier, "")
    yield Result(f"{name}, revenue bias", 100 * (it.revenue_bias or 0.0), "%")
    gaps = [abs(part.churn_probability - part.churned_share) for part in it.deciles]
    yield Result(f"{name}, churn, mean gap by decile", 100 * float(np.mean(gaps)), "points")


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("--until", default="2011-08-31")
    given.add_argument("--days", default=91, type=int)
    given.add_argument("--json", action="store_true")
    asked = given.parse_args()
    moment = int(pd.Timestamp(f"{asked.until} 23:59:59").timestamp() * 1_000_000)
    report("Ways to tell what customers spend", list(methods(asked.days, moment)))
