"""The chart renders, and what it renders is what Kubernetes and the architecture accept."""

from pathlib import Path

import pytest

from tests.platform import manifests
from tests.platform.manifests import FIXTURES, KUBERNETES, PROFILES, Manifest, Refused, container, of_kind

COMPONENTS = {"profiles", "segmentation", "recommendation", "forecasting", "loyalty", "crm", "gateway"}

ALONE = {"segmentation", "recommendation", "forecasting"}
"""They follow feeds into tables, train, or answer from memory: two at once would disagree."""


def expected(fixture: Path) -> str:
    """The words of the refusal that a broken fixture is for, from its first line."""
    first = fixture.read_text().splitlines()[0]
    assert first.startswith("# says: "), fixture
    return first.removeprefix("# says: ")


@pytest.mark.parametrize("values", PROFILES.values(), ids=PROFILES)
def test_helm_finds_nothing_to_complain_about(values: Path | None) -> None:
    manifests.helm("lint", "--strict", str(manifests.CHART), *(["--values", str(values)] if values else []))


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_manifest_is_what_this_kubernetes_knows(profile: str, kubernetes: str) -> None:
    for manifest in manifests.load(manifests.render(PROFILES[profile], kubernetes)):
        manifests.check_schema(manifest, kubernetes)


@pytest.mark.parametrize("values", PROFILES.values(), ids=PROFILES)
def test_kubectl_reads_every_manifest(values: Path | None) -> None:
    manifests.check_types(manifests.render(values))


@pytest.mark.parametrize("profile", PROFILES)
def test_what_one_manifest_names_another_is(profile: str, rendered: dict[str, list[Manifest]]) -> None:
    manifests.check_references(rendered[profile])


@pytest.mark.parametrize("fixture", sorted((FIXTURES / "refused_values").iterdir()), ids=lambda path: path.stem)
def test_values_that_cannot_work_are_refused(fixture: Path) -> None:
    with pytest.raises(Refused) as refusal:
        manifests.render(fixture)
    assert expected(fixture) in str(refusal.value)


@pytest.mark.parametrize("fixture", sorted((FIXTURES / "broken_manifests").iterdir()), ids=lambda path: path.stem)
def test_a_broken_manifest_is_refused(fixture: Path) -> None:
    with pytest.raises(Refused) as refusal:
        _check_all(fixture.read_text())
    assert expected(fixture) in str(refusal.value)


def _check_all(text: str) -> None:
    found = manifests.load(text)
    for manifest in found:
        for kubernetes in KUBERNETES:
            manifests.check_schema(manifest, kubernetes)
    manifests.check_types(text)
    manifests.check_references(found)


def test_a_version_of_kubernetes_without_schemas_is_refused() -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "example"}}
    with pytest.raises(Refused, match=r"no schemas of Kubernetes 1\.20"):
        manifests.check_schema(account, "1.20")


def test_kubernetes_older_than_the_oldest_checked_is_refused() -> None:
    with pytest.raises(Refused, match=r"requires kubeVersion: >=1\.32"):
        manifests.render(kubernetes="1.31")


def test_a_release_name_that_leaves_no_room_for_a_service_name_is_refused() -> None:
    with pytest.raises(Refused, match=r"the release name a+ is too long"):
        manifests.render(release="a" * 49)


@pytest.mark.parametrize("profile", PROFILES)
def test_each_component_has_what_belongs_to_it(profile: str, rendered: dict[str, list[Manifest]]) -> None:
    names = {f"tessera-{component}" for component in COMPONENTS}
    for kind in ("Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"):
        assert set(of_kind(rendered[profile], kind)) == names, kind
    scaled = names - {f"tessera-{component}" for component in ALONE} if profile == "production" else set()
    assert set(of_kind(rendered[profile], "HorizontalPodAutoscaler")) == scaled


def test_only_what_keeps_files_has_a_volume_and_what_must_runs_once(rendered: dict[str, list[Manifest]]) -> None:
    names = {f"tessera-{component}" for component in COMPONENTS}
    for profile, keeping in {"default": names - {"tessera-gateway"}, "production": set[str]()}.items():
        found = rendered[profile]
        assert set(of_kind(found, "PersistentVolumeClaim")) == keeping
        for name, deployment in of_kind(found, "Deployment").items():
            once = name in keeping or name.removeprefix("tessera-") in ALONE
            assert (deployment["spec"]["strategy"]["type"] == "Recreate") == once
            assert not once or deployment["spec"]["replicas"] == 1


def test_what_is_kept_outlives_the_release(rendered: dict[str, list[Manifest]]) -> None:
    for claim in of_kind(rendered["embedded"], "PersistentVolumeClaim").values():
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert claim["spec"]["storageClassName"] == "fast"
        assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"


def test_nothing_secret_is_in_a_manifest(production: list[Manifest]) -> None:
    assert not of_kind(production, "Secret")
    assert not of_kind(production, "ConfigMap")
    for name, deployment in of_kind(production, "Deployment").items():
        variables = {variable["name"]: variable for variable in container(deployment)["env"]}
        if name != "tessera-gateway":
            secret = "mongodb-profiles" if name == "tessera-profiles" else "mongodb"
            assert variables["STORE_URL"]["valueFrom"]["secretKeyRef"]["name"] == secret
        volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
        component = name.removeprefix("tessera-")
        assert volumes["token"]["secret"]["items"] == [{"key": component, "path": "token"}]
        assert volumes["tls"]["secret"]["secretName"] == f"{name}-tls"


def test_the_gateway_is_reached_by_the_ingress_over_tls(production: list[Manifest]) -> None:
    (ingress,) = of_kind(production, "Ingress").values()
    assert ingress["spec"]["tls"] == [{"hosts": ["marketing.example.com"], "secretName": "marketing-example-com"}]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["marketing.example.com"]
