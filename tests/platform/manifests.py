"""Rendered manifests and the checks of them: by schema, by kubectl's types, and against each other."""

import subprocess
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions, major_minor

from deploy.k8s import tools

CHART = Path(__file__).parents[2] / "deploy" / "k8s" / "chart"
FIXTURES = Path(__file__).parent / "fixtures"
KUBERNETES = ("1.32", "1.37")
"""The oldest that the chart accepts and the newest whose schemas are at hand."""
PROFILES: dict[str, Path | None] = {
    "default": None,
    "embedded": FIXTURES / "values" / "embedded.yaml",
    "production": FIXTURES / "values" / "production.yaml",
}

Manifest = Mapping[str, Any]


class Refused(Exception):
    """A manifest or a set of values that must not reach a cluster, and why."""


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that is there twice is an error, as it is to Kubernetes."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = Counter(self.construct_object(key) for key, _ in node.value)
        for key, times in keys.items():
            if times > 1:
                raise Refused(f"the key {key!r} is there twice, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


def load(text: str) -> list[Manifest]:
    """The manifests in a YAML stream."""
    documents = [document for document in yaml.load_all(text, Loader=_StrictLoader) if document is not None]
    for document in documents:
        if not isinstance(document, dict) or not all(document.get(key) for key in ("apiVersion", "kind", "metadata")):
            raise Refused(f"a document is no Kubernetes object: {str(document)[:80]}")
    return documents


def helm(*arguments: str) -> str:
    """What helm prints; ``Refused`` with its message where it fails."""
    command = [str(tools.locate("helm")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def render(values: Path | None = None, kubernetes: str = KUBERNETES[-1], release: str = "tessera") -> str:
    """The chart's manifests for these values, as text."""
    named = ["--values", str(values)] if values else []
    return helm("template", release, str(CHART), "--namespace", "shop", "--kube-version", kubernetes, *named)


def check_schema(manifest: Manifest, kubernetes: str) -> None:
    """Refuse what this version of Kubernetes does not know: kinds, versions and fields alike."""
    # The package takes the nearest older version where it lacks the one asked for.
    if kubernetes not in {major_minor(version) for version in all_versions()}:
        raise Refused(f"no schemas of Kubernetes {kubernetes}")
    try:
        kubernetes_validate.validate(dict(manifest), kubernetes, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        raise Refused(error.message) from error
    except kubernetes_validate.ValidationError as error:
        path = ".".join(str(step) for step in error.path)
        raise Refused(f"{manifest['kind']} {manifest['metadata'].get('name')}: {path}: {error.message}") from error


def check_types(text: str) -> None:
    """Refuse what Kubernetes' own types cannot hold, such as a quantity that is none; kubectl reads it, offline."""
    command = [str(tools.locate("kubectl")), "set", "image", "--local", "--filename=-", "--output=name", "*=read"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    # It complains of every object that has no pod, too; those it has read.
    faults = [line for line in done.stderr.splitlines() if "unable to decode" in line]
    if faults or (done.returncode and "error" not in done.stderr):
        raise Refused("\n".join(faults) or done.stderr)


def check_references(manifests: Sequence[Manifest]) -> None:
    """Refuse manifests that do not fit each other: what one names, another must be."""
    faults = [*_of_deployments(manifests), *_of_selectors(manifests), *_of_scaling(manifests)]
    if faults:
        raise Refused("; ".join(faults))


def of_kind(manifests: Sequence[Manifest], kind: str) -> dict[str, Any]:
    """The manifests of one kind, by name; a name must be there once."""
    found = [manifest for manifest in manifests if manifest["kind"] == kind]
    by_name = {manifest["metadata"]["name"]: manifest for manifest in found}
    assert len(by_name) == len(found), f"two {kind}s of one name"
    return by_name


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether every label of ``selector`` is among ``labels``."""
    return selector.items() <= labels.items()


def pod_labels(manifests: Sequence[Manifest]) -> dict[str, dict[str, str]]:
    """The labels of each Deployment's pods, by its name."""
    deployments = of_kind(manifests, "Deployment")
    return {name: each["spec"]["template"]["metadata"]["labels"] for name, each in deployments.items()}


def container(deployment: Manifest) -> dict[str, Any]:
    """The one container of a Deployment's pods."""
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def _of_deployments(manifests: Sequence[Manifest]) -> Iterator[str]:
    labels = pod_labels(manifests)
    accounts, claims = of_kind(manifests, "ServiceAccount"), of_kind(manifests, "PersistentVolumeClaim")
    for name, deployment in of_kind(manifests, "Deployment").items():
        pod, main = deployment["spec"]["template"]["spec"], container(deployment)
        if not selects(deployment["spec"]["selector"]["matchLabels"], labels[name]):
            yield f"Deployment {name} selects pods that it does not make"
        if pod.get("serviceAccountName", "default") not in {"default", *accounts}:
            yield f"Deployment {name} runs as {pod['serviceAccountName']}, which is not there"
        volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
        mounted = {mount["name"] for mount in main.get("volumeMounts", ())}
        yield from (f"Deployment {name} mounts {each}, which is no volume of it" for each in mounted - set(volumes))
        yield from (f"Deployment {name} has the volume {each} for nothing" for each in set(volumes) - mounted)
        wanted = {
            each["persistentVolumeClaim"]["claimName"] for each in volumes.values() if "persistentVolumeClaim" in each
        }
        yield from (f"Deployment {name} needs the claim {each}, which is not there" for each in wanted - set(claims))
        variables = Counter(variable["name"] for variable in main.get("env", ()))
        yield from (f"Deployment {name} sets {each} twice" for each, times in variables.items() if times > 1)


def _of_selectors(manifests: Sequence[Manifest]) -> Iterator[str]:
    labels, deployments = pod_labels(manifests), of_kind(manifests, "Deployment")
    for name, service in of_kind(manifests, "Service").items():
        chosen = [each for each in labels if selects(service["spec"]["selector"], labels[each])]
        if len(chosen) != 1:
            yield f"Service {name} selects {'pods of ' + ', '.join(chosen) if chosen else 'no pod'}"
            continue
        ports = {port["name"] for port in container(deployments[chosen[0]])["ports"]}
        named = {port["targetPort"] for port in service["spec"]["ports"]}
        yield from (f"Service {name} leads to the port {each}, which pods do not name" for each in named - ports)
    for name, budget in of_kind(manifests, "PodDisruptionBudget").items():
        if not any(selects(budget["spec"]["selector"]["matchLabels"], each) for each in labels.values()):
            yield f"PodDisruptionBudget {name} selects no pod"


def _of_scaling(manifests: Sequence[Manifest]) -> Iterator[str]:
    deployments, services = of_kind(manifests, "Deployment"), of_kind(manifests, "Service")
    for name, scaler in of_kind(manifests, "HorizontalPodAutoscaler").items():
        target = scaler["spec"]["scaleTargetRef"]["name"]
        if target not in deployments:
            yield f"HorizontalPodAutoscaler {name} scales {target}, which is not there"
        elif "replicas" in deployments[target]["spec"]:
            yield f"Deployment {target} says how many replicas it has, and so does an autoscaler"
    for name, ingress in of_kind(manifests, "Ingress").items():
        for rule in ingress["spec"]["rules"]:
            leads_to = {path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
            yield from (f"Ingress {name} leads to {each}, which is not there" for each in leads_to - set(services))
