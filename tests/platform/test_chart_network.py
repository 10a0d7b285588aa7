"""The NetworkPolicies of the chart open the architecture's calls and no others."""

from collections.abc import Mapping
from typing import Any

from tests.platform.manifests import Manifest, of_kind, pod_labels, selects

Rendered = dict[str, list[Manifest]]

SERVICES = ("profiles", "segmentation", "recommendation", "forecasting", "loyalty", "crm")
CALLS = {
    *(("gateway", service) for service in SERVICES),
    *((service, "profiles") for service in ("segmentation", "recommendation", "forecasting", "loyalty", "crm")),
    *(("profiles", service) for service in ("segmentation", "recommendation", "forecasting", "loyalty", "crm")),
    ("crm", "segmentation"),
    ("segmentation", "forecasting"),
    ("forecasting", "segmentation"),
    ("forecasting", "crm"),
    ("segmentation", "recommendation"),
    ("segmentation", "crm"),
    ("recommendation", "segmentation"),
    ("loyalty", "segmentation"),
}
PORTS = {
    "profiles": 50051,
    "segmentation": 50052,
    "recommendation": 50053,
    "forecasting": 50054,
    "loyalty": 50055,
    "crm": 50056,
    "gateway": 8080,
}


def policies(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    """What each component's policies allow it, by its name; the default policy has a name of its own."""
    found = of_kind(manifests, "NetworkPolicy").items()
    return {name.removeprefix("tessera-"): policy["spec"] for name, policy in found}


def _pods(manifests: list[Manifest], peers: list[Mapping[str, Any]]) -> set[str]:
    selectors = [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]
    chosen = {
        name for name, labels in pod_labels(manifests).items() if any(selects(each, labels) for each in selectors)
    }
    return {name.removeprefix("tessera-") for name in chosen}


def test_by_default_no_pod_of_the_release_is_reached_or_reaches_out(rendered: Rendered) -> None:
    default = policies(rendered["default"])["default-deny"]
    assert default["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(default)
    labels = pod_labels(rendered["default"]).values()
    assert all(selects(default["podSelector"]["matchLabels"], each) for each in labels)


def test_each_policy_is_of_one_components_pods(rendered: Rendered) -> None:
    for component, policy in policies(rendered["default"]).items():
        if component != "default-deny":
            assert _pods(rendered["default"], [policy]) == {component}


def test_callers_may_go_where_the_architecture_says_and_nowhere_else(rendered: Rendered) -> None:
    for found in (rendered["default"], rendered["production"]):
        allowed = set()
        for component, policy in policies(found).items():
            for rule in policy.get("egress", ()):
                for called in _pods(found, rule.get("to", ())):
                    allowed.add((component, called))
                    assert rule["ports"] == [{"port": PORTS[called], "protocol": "TCP"}]
        assert allowed == CALLS


def test_services_let_in_their_callers_and_nobody_else(rendered: Rendered) -> None:
    found = rendered["production"]
    allowed = set()
    for component in SERVICES:
        (rule,) = policies(found)[component]["ingress"]
        assert rule["ports"] == [{"port": PORTS[component], "protocol": "TCP"}]
        assert rule["from"], "an empty list would let everyone in"
        assert all(set(peer) == {"podSelector"} for peer in rule["from"])
        allowed |= {(caller, component) for caller in _pods(found, rule["from"])}
    assert allowed == CALLS


def test_outsiders_reach_the_gateway_alone(rendered: Rendered) -> None:
    (open_to_all,) = policies(rendered["default"])["gateway"]["ingress"]
    assert open_to_all == {"ports": [{"port": 8080, "protocol": "TCP"}]}
    (narrowed,) = policies(rendered["production"])["gateway"]["ingress"]
    assert narrowed["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]


def _outbound(policy: Mapping[str, Any]) -> set[int]:
    rules = [rule for rule in policy["egress"] if not any("podSelector" in peer for peer in rule.get("to", ()))]
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_what_is_not_configured_is_not_opened(rendered: Rendered) -> None:
    for component, policy in policies(rendered["default"]).items():
        if component != "default-deny":
            assert _outbound(policy) == {53}


def test_pods_reach_the_servers_that_they_use(production: list[Manifest]) -> None:
    dns, keys, telemetry, mongodb, spark = 53, 443, 4317, 27017, 15002
    everyone = {dns, keys, telemetry}
    analytical = {*everyone, mongodb, spark}
    assert {name: _outbound(policy) for name, policy in policies(production).items() if name != "default-deny"} == {
        "profiles": {*everyone, mongodb},
        "segmentation": analytical,
        "recommendation": analytical,
        "forecasting": analytical,
        "loyalty": {*everyone, mongodb},
        "crm": {*everyone, mongodb, 465, 25},
        "gateway": everyone,
    }


def test_policies_can_be_left_to_the_cluster(rendered: Rendered) -> None:
    assert not policies(rendered["embedded"])
