"""The tour: GraphQL requests as a front-end developer would send them, and the gateway's answers."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
from rich.console import Console
from rich.syntax import Syntax

from deploy.local.load import PROGRAM_ID, REWARD_ID, Loaded
from services.common.errors import Unavailable

LINES_MAX = 40
ANSWER_SECONDS_MAX = 30.0


class TourStopped(Unavailable):
    """A request of the tour was answered with errors."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One request of the tour and its answer."""

    title: str
    query: str
    variables: dict[str, Any]
    data: dict[str, Any]


SEGMENT = """query Segment($id: ID!) {
  segment(id: $id) {
    name description memberCount refreshTime
    members(first: 10) { nodes { enterTime customer { customerId loyalty { balancePoints } } } }
  }
}"""

CUSTOMER = """query Customer($id: ID!) {
  customer(id: $id) {
    identifiers { type value }
    traits { name value }
    lifetime { orderCount spend { amount currency } firstOrderTime lastOrderTime }
    timeline(first: 3, name: "Order Completed") { nodes { eventTime properties } }
    rfm { recencyDays frequency monetary { amount } cell group }
    segments { name }
    loyalty { balancePoints tier { name } nextTier { name } nextTierAmount expiringPoints }
    recommendations(first: 5) {
      items { score item { itemId title categories } reasons { kind purchaseCount sourceItems { title } } }
    }
    messages(first: 3) { state address campaign { name } }
  }
}"""

EXPECTED = """query Expected($id: ID!) {
  customer(id: $id) {
    predictiveTraits {
      source model asOfTime horizonDays currency
      traits { name value }
      quality { customerCount churnAuc churnBrier topDecileRevenueLift }
    }
    modelTraits { kind model modelVersion asOfTime horizonDays traits { name value } }
  }
}"""

PRODUCT = """query Product($id: ID!) {
  product(id: $id) { title categories brand }
  similarProducts(id: $id, first: 5) { items { score item { title categories } reasons { kind } } }
  boughtTogether(id: $id, first: 5) {
    items { item { title } reasons { kind association { basketCount support confidence lift } } }
  }
}"""

RFM = """query Rfm {
  rfmSummary { customerCount value { amount currency } groups { group customerCount value { amount } } }
}"""

FORECAST = """query Forecast {
  forecast(measure: SALES, granularity: WEEK, horizon: 8, levels: [80, 95]) {
    currency model historyStartTime historyEndTime
    points { startTime value intervals { level lower upper } }
    backtest { originCount accuracy { wape mase coverage { level share } } seasonalNaive { wape mase } }
  }
}"""

REDEMPTION = """mutation Redeem($input: RedeemRewardInput!) {
  redeemReward(input: $input) {
    redemptionId balancePoints entry { kind points debit credit lots { points expireTime } }
  }
}"""

CAMPAIGN = """query Campaign($id: ID!) {
  campaign(id: $id) {
    name state counts { audienceCount sentCount failedCount skippedCount } segment { name } template { name }
    messages(first: 3) { nodes { address state } }
  }
}"""


async def tour(console: Console, gateway_url: str, token: str, found: Loaded) -> list[Stop]:
    """Make the requests and print each with its answer; ``TourStopped`` if one is answered with errors."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=gateway_url, headers=headers, timeout=ANSWER_SECONDS_MAX) as client:
        guide = _Guide(console, client)
        await guide.ask("a segment: its size and members", SEGMENT, id=found.segment_id)
        customer = await guide.ask("one customer, seen from every service", CUSTOMER, id=found.customer_id)
        title = "what the customer is expected to do, by which model, and how good that is"
        await guide.ask(title, EXPECTED, id=found.customer_id)
        product_id = customer["customer"]["recommendations"]["items"][0]["item"]["itemId"]
        await guide.ask("a product: similar ones, and those bought with it", PRODUCT, id=product_id)
        await guide.ask("RFM of all customers", RFM)
        await guide.ask("sales of the next eight weeks, with 80 % and 95 % intervals", FORECAST)
        redemption = {
            "programId": PROGRAM_ID,
            "memberId": found.customer_id,
            "rewardId": REWARD_ID,
            "requestId": "tour",
        }
        await guide.ask("points redeemed for a reward", REDEMPTION, input=redemption)
        await guide.ask("a campaign and what became of it", CAMPAIGN, id=found.campaign_id)
        return guide.stops


class _Guide:
    """Asks, prints, and remembers."""

    def __init__(self, console: Console, client: httpx.AsyncClient) -> None:
        self._console, self._client = console, client
        self.stops: list[Stop] = []

    async def ask(self, title: str, query: str, **variables: Any) -> dict[str, Any]:
        """The answer's data."""
        try:
            answer = (await self._client.post("/graphql", json={"query": query, "variables": variables})).json()
        except (httpx.HTTPError, ValueError) as error:
            raise TourStopped(f"{title}: the gateway did not answer ({type(error).__name__})") from error
        if answer.get("errors"):
            raise TourStopped(f"{title}: {answer['errors'][0]['message']}")
        data: dict[str, Any] = answer["data"]
        self.stops.append(Stop(title, query, variables, data))
        self._show(self.stops[-1])
        return data

    def _show(self, stop: Stop) -> None:
        self._console.rule(f"{len(self.stops)}. {stop.title}", align="left")
        self._console.print(Syntax(stop.query, "graphql", background_color="default", word_wrap=True))
        lines = json.dumps(stop.data, indent=1, ensure_ascii=False).splitlines()
        shown = "\n".join(lines[:LINES_MAX])
        self._console.print(Syntax(shown, "json", background_color="default", word_wrap=True))
        if len(lines) > LINES_MAX:
            self._console.print(f"… {len(lines) - LINES_MAX} more lines")
