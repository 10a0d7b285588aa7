"""The chart and the code agree: variables, ports, who calls whom, who keeps which files."""

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.common.settings import ProcessSettings
from tests.platform.manifests import CHART, Manifest, container, of_kind

ROOT = Path(__file__).parents[2]
TOPOLOGY = yaml.safe_load((CHART / "topology.yaml").read_text())["components"]
SERVICES = [name for name in TOPOLOGY if name != "gateway"]
NOT_SETTINGS = {"POD_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OMP_NUM_THREADS"}
"""Read by Kubernetes, by the OpenTelemetry SDK and by numerical libraries."""

SECRETS = {
    "STORE_URL": "mongodb://db.example.com/",
    "CRM_SMTP_URL": "smtps://user:password@mail.example.com:465",
    "PROFILES_MASTER_KEYS": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "SEGMENTATION_MASTER_KEYS": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
}


def settings_class(component: str) -> Any:
    """The Settings of a component; reading them takes no arguments, which its signature does not tell."""
    module = "gateway.app" if component == "gateway" else f"services.{component}.app"
    found = importlib.import_module(module).Settings
    assert issubclass(found, ProcessSettings)
    return found


def variables(component: str) -> dict[str, str]:
    """The fields of a component's Settings by the variable that sets each."""
    found = settings_class(component)
    prefix = found.model_config.get("env_prefix", "")
    fields = found.model_fields.items()
    return {str(field.validation_alias or f"{prefix}{name}").upper(): name for name, field in fields}


def environment(manifests: list[Manifest], component: str) -> dict[str, dict[str, Any]]:
    """The variables that the chart sets in a component's pods."""
    deployment = of_kind(manifests, "Deployment")[f"tessera-{component}"]
    return {variable["name"]: variable for variable in container(deployment)["env"]}


@pytest.mark.parametrize("component", TOPOLOGY)
def test_every_variable_that_the_chart_sets_is_a_setting(component: str, production: list[Manifest]) -> None:
    assert set(environment(production, component)) - NOT_SETTINGS <= set(variables(component))


@pytest.mark.parametrize("profile", ["default", "production"])
@pytest.mark.parametrize("component", TOPOLOGY)
def test_a_pods_environment_is_read_as_meant(
    component: str, profile: str, rendered: dict[str, list[Manifest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, variable in environment(rendered[profile], component).items():
        monkeypatch.setenv(name, variable.get("value", SECRETS.get(name, "")))
    settings = settings_class(component)()
    assert (settings.host, settings.port) == ("0.0.0.0", TOPOLOGY[component]["port"])
    assert settings.data_dir == Path("/var/lib/tessera")
    assert (settings.auth_jwks_url is None) != (settings.auth_public_key_file is None)
    assert settings.service_token_file is not None
    for called in TOPOLOGY[component]["calls"]:
        address = f"dns:///tessera-{called}.shop:{TOPOLOGY[called]['port']}"
        assert getattr(settings, f"{called}_addr") == address
    if profile == "production":
        assert (settings.store_url is not None) == ("documents" in TOPOLOGY[component]["keeps"])
        assert (settings.analytics_url is not None) == ("tables" in TOPOLOGY[component]["keeps"])
        keeps_tables = "tables" in TOPOLOGY[component]["keeps"]
        bounds = (settings.analytics_memory_max, settings.analytics_threads)
        assert bounds == (("2.5GiB", 3) if keeps_tables else (None, None))
        assert (getattr(settings, "smtp_url", None) is not None) == ("mail" in TOPOLOGY[component]["sends"])
        assert settings.otlp_endpoint == "http://collector.observability:4317"
        assert settings.trace_ratio == 0.05
        assert settings.log_level == "WARNING"
        assert None not in (settings.tls_cert_file, settings.tls_key_file, settings.tls_ca_file)


@pytest.mark.parametrize("component", TOPOLOGY)
def test_the_chart_listens_where_the_code_does_by_default(component: str) -> None:
    port = settings_class(component).model_fields["port"].default
    assert port == TOPOLOGY[component]["port"]


def test_the_gateway_answers_where_it_is_probed(production: list[Manifest]) -> None:
    main = container(of_kind(production, "Deployment")["tessera-gateway"])
    nodes = ast.walk(ast.parse((ROOT / "gateway" / "app.py").read_text()))
    words = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert {main[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")} <= words


@pytest.mark.parametrize("component", SERVICES)
def test_addresses_of_services_lead_to_their_ports(component: str) -> None:
    default = ProcessSettings.model_fields[f"{component}_addr"].default
    assert default == f"127.0.0.1:{TOPOLOGY[component]['port']}"


def _source(component: str) -> list[Path]:
    folder = ROOT / ("gateway" if component == "gateway" else f"services/{component}")
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("component", TOPOLOGY)
def test_the_chart_opens_the_calls_that_the_code_makes(component: str) -> None:
    nodes = [node for path in _source(component) for node in ast.walk(ast.parse(path.read_text()))]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    read |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    called = {name for name in SERVICES if f"{name}_addr" in read}
    assert called == set(TOPOLOGY[component]["calls"])


@pytest.mark.parametrize("component", SERVICES)
def test_the_chart_knows_who_keeps_tables(component: str) -> None:
    uses = any("services.common.columnar" in path.read_text() for path in _source(component))
    assert uses == ("tables" in TOPOLOGY[component]["keeps"])
