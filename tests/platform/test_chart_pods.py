"""The pods of the chart: what they may do, how they are asked whether they live, how they stop."""

from typing import Any

import pytest

from tests.platform.manifests import PROFILES, Manifest, container, of_kind

Rendered = dict[str, list[Manifest]]


def pods(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    """Each component's pod, by its name."""
    deployments = of_kind(manifests, "Deployment").items()
    return {name.removeprefix("tessera-"): each["spec"]["template"]["spec"] for name, each in deployments}


@pytest.mark.parametrize("profile", PROFILES)
def test_pods_are_within_the_restricted_security_standard(profile: str, rendered: Rendered) -> None:
    for pod in pods(rendered[profile]).values():
        (main,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert main["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


@pytest.mark.parametrize("profile", PROFILES)
def test_pods_write_to_two_places_alone(profile: str, rendered: Rendered) -> None:
    for pod in pods(rendered[profile]).values():
        (main,) = pod["containers"]
        writable = {mount["mountPath"] for mount in main["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"/tmp", "/var/lib/tessera"}


@pytest.mark.parametrize("profile", PROFILES)
def test_pods_get_no_key_to_the_cluster_and_no_settings_by_accident(profile: str, rendered: Rendered) -> None:
    for pod in pods(rendered[profile]).values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # LOYALTY_PORT=tcp://… would be read as a setting


def test_services_answer_probes_by_grpc_and_the_gateway_by_http(rendered: Rendered) -> None:
    for component, pod in pods(rendered["default"]).items():
        (main,) = pod["containers"]
        (port,) = main["ports"]
        for probe, path in {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}.items():
            asked = main[f"{probe}Probe"]
            if component == "gateway":
                assert asked["httpGet"] == {"path": path, "port": "http"}
            else:
                assert asked["grpc"] == {"port": port["containerPort"]}


def test_with_mutual_tls_services_are_probed_from_within_the_pod(production: list[Manifest]) -> None:
    for component, pod in pods(production).items():
        (main,) = pod["containers"]
        (port,) = main["ports"]
        if component != "gateway":
            address, name = f"127.0.0.1:{port['containerPort']}", f"tessera-{component}.shop"
            command = ["python", "/opt/tessera/probe.py", address, name]
            assert main["livenessProbe"]["exec"]["command"] == command
            assert main["livenessProbe"]["timeoutSeconds"] >= 5


def test_every_pod_states_what_it_needs(rendered: Rendered) -> None:
    for pod in pods(rendered["default"]).values():
        (main,) = pod["containers"]
        assert set(main["resources"]["requests"]) == {"cpu", "memory"}
        assert set(main["resources"]["limits"]) == {"memory"}


def test_pods_of_a_component_are_spread_over_nodes_and_zones(production: list[Manifest]) -> None:
    for pod in pods(production).values():
        keys = [constraint["topologyKey"] for constraint in pod["topologySpreadConstraints"]]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_a_pod_has_time_to_drain(rendered: Rendered) -> None:
    from services.common.settings import ServiceSettings

    drain = ServiceSettings.model_fields["drain_seconds_max"].default
    for pod in pods(rendered["default"]).values():
        (main,) = pod["containers"]
        pause = main["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] >= pause + 2 * drain


def test_a_service_is_headless_so_that_calls_spread_over_its_pods(production: list[Manifest]) -> None:
    for name, service in of_kind(production, "Service").items():
        assert (service["spec"].get("clusterIP") == "None") == (name != "tessera-gateway")
        (main,) = of_kind(production, "Deployment")[name]["spec"]["template"]["spec"]["containers"]
        assert [port["port"] for port in service["spec"]["ports"]] == [main["ports"][0]["containerPort"]]


def test_operators_values_reach_the_pods(production: list[Manifest]) -> None:
    deployments = of_kind(production, "Deployment")
    for name, deployment in deployments.items():
        component = name.removeprefix("tessera-")
        template = deployment["spec"]["template"]
        assert container(deployment)["image"] == f"registry.example.com/marketing/tessera-{component}:1.2.3"
        assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert template["metadata"]["annotations"] == {"example.com/team": "marketing"}
    recommendation = deployments["tessera-recommendation"]["spec"]["template"]["spec"]
    assert recommendation["nodeSelector"] == {"example.com/accelerator": "true"}
    assert recommendation["tolerations"][0]["key"] == "example.com/accelerator"
    assert container(deployments["tessera-crm"])["envFrom"] == [{"configMapRef": {"name": "crm-settings"}}]
    gateway = deployments["tessera-gateway"]["spec"]["template"]["spec"]
    assert gateway["priorityClassName"] == "customer-facing"
    assert "podAntiAffinity" in gateway["affinity"]
