"""Anomalies, reorder plans and goals through the gateway."""

from tessera.forecasting.v1 import demand_pb2 as pb
from tessera.forecasting.v1 import series_pb2

from tests.gateway.platform import Backend, Client


async def test_what_was_unusual_and_what_to_order_are_read(client: Client, backend: Backend) -> None:
    odd = pb.Anomaly(value="milk", score=3.5, severity=pb.ANOMALY_SEVERITY_HIGH)
    backend.on("forecasting.DetectAnomalies", lambda _: pb.DetectAnomaliesResponse(anomalies=[odd], anomaly_count=1))
    line = pb.ReorderLine(product_id="milk", reorder_point=12, order_quantity=24)
    backend.on("forecasting.PlanReorder", lambda _: pb.PlanReorderResponse(lines=[line]))
    data = await client.data(
        """{ anomalies(measure: UNITS, granularity: DAY, dimension: PRODUCT, values: ["milk"]) {
               anomalyCount anomalies { value severity } }
             reorderPlan(input: {items: [{productId: "milk", onHand: 3, leadTimeDays: 2}]}) {
               productId reorderPoint orderQuantity daysOfCover } }"""
    )
    assert data["anomalies"] == {"anomalyCount": 1, "anomalies": [{"value": "milk", "severity": "HIGH"}]}
    assert data["reorderPlan"] == [
        {"productId": "milk", "reorderPoint": 12.0, "orderQuantity": 24.0, "daysOfCover": None}
    ]
    asked = backend.requests("forecasting.DetectAnomalies")[-1]
    assert (asked.dimension, list(asked.values)) == (series_pb2.DIMENSION_PRODUCT, ["milk"])


async def test_goals_are_set_read_and_given_up(client: Client, backend: Backend) -> None:
    made = pb.Goal(goal_id="g1", name="spring", target=5)
    backend.on("forecasting.CreateGoal", lambda _: pb.CreateGoalResponse(goal=made))
    standing = pb.GoalProgress(goal=made, probability=0.25, gap=1)
    backend.on("forecasting.ListGoals", lambda _: pb.ListGoalsResponse(goals=[standing]))
    data = await client.data(
        """mutation { createGoal(input: {name: "spring", measure: SALES, dimension: TOTAL, target: 5,
             firstDate: "2026-03-01", lastDate: "2026-05-31"}) { goal { goalId } } deleteGoal(id: "g1") }"""
    )
    assert data == {"createGoal": {"goal": {"goalId": "g1"}}, "deleteGoal": "g1"}
    found = await client.data("{ goals(first: 5) { nodes { probability dailyNeeded goal { name } } } }")
    assert found["goals"]["nodes"] == [{"probability": 0.25, "dailyNeeded": None, "goal": {"name": "spring"}}]
