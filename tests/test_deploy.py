"""The manifests in deploy/ and the page about them name settings, services and secrets that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent
SETTINGS = {f"NAS_{name.upper()}" for name in Settings.model_fields}
RAY = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
POSTGRES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}
SHORT_IMAGE = re.compile(r"[a-z0-9-]+(:[a-z0-9.-]+)?")
SAMPLES = {"NAS_TOKEN": "sixteen-letters-", "NAS_DATABASE_URL": "postgresql+psycopg://u:p@postgres/nas"}


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    return services


def kuberay() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "deploy" / "kuberay.yaml").read_text()))


def containers(node: object) -> Iterator[dict[str, Any]]:
    """All containers anywhere in a manifest."""
    if isinstance(node, dict):
        yield from node.get("containers", [])
        for child in node.values():
            yield from containers(child)
    elif isinstance(node, list):
        for child in node:
            yield from containers(child)


def environments() -> list[tuple[str, dict[str, str]]]:
    """(role, its environment) in both manifests; what is secret is empty."""
    found = [(name, {k: str(v) for k, v in s["environment"].items()}) for name, s in compose().items()]
    for container in containers(kuberay()):
        variables = {item["name"]: item.get("value", "") for item in container["env"]}
        found.append((f"kuberay {container['name']}", variables))
    return found


@pytest.mark.parametrize(("role", "variables"), environments(), ids=[role for role, _ in environments()])
def test_every_variable_is_a_setting(
    role: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert variables
    assert set(variables) <= SETTINGS | RAY | (POSTGRES if role == "postgres" else set())
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name in set(variables) & SETTINGS:
        monkeypatch.setenv(name, SAMPLES.get(name, variables[name]))
    settings = load_settings(host="0.0.0.0" if "NAS_TOKEN" in variables else None)
    assert (settings.token is not None) == role.endswith("server")
    assert ("RAY_AUTH_TOKEN" in variables) == ("ray" in role.split()[-1] or role.endswith("worker"))


def test_roles_that_share_files_share_the_path() -> None:
    services = compose()
    for role in ("server", "worker"):
        assert services[role]["environment"]["NAS_DATA_DIR"] == "/data"
        assert "data:/data" in services[role]["volumes"]
    mounts = [c["volumeMounts"] for c in containers(kuberay()) if c["name"] in ("server", "worker")]
    assert len(mounts) == 2
    assert all({"name": "data", "mountPath": "/data"} in mount for mount in mounts)


def test_addresses_and_secrets_lead_somewhere() -> None:
    services = compose()
    host, port = services["worker"]["environment"]["NAS_RAY_ADDRESS"].split(":")
    assert f"--port={port}" in services[host]["command"]
    assert "@postgres/" in services["server"]["environment"]["NAS_DATABASE_URL"]
    documents = {document["kind"]: document for document in kuberay()}
    head = f"{documents['RayCluster']['metadata']['name']}-head-svc"  # the name that the operator gives it
    secrets = set(documents["Secret"]["stringData"])
    for container in containers(kuberay()):
        for item in container["env"]:
            if item["name"] == "NAS_RAY_ADDRESS":
                assert item["value"] == f"{head}:6379"
            if "valueFrom" in item:
                reference = item["valueFrom"]["secretKeyRef"]
                assert reference["name"] == documents["Secret"]["metadata"]["name"]
                assert reference["key"] in secrets


def test_images_have_short_names() -> None:
    images = [service["image"] for service in compose().values()]
    images += [container["image"] for container in containers(kuberay())]
    images += re.findall(r"^FROM (\S+)", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) > 8
    for image in images:
        assert SHORT_IMAGE.fullmatch(image), image


@pytest.mark.parametrize("page", ["docs/cluster.md", "README.md", "deploy/Dockerfile"])
def test_pages_name_settings_that_exist(page: str) -> None:
    named = set(re.findall(r"\bNAS_[A-Z_]+\b", (ROOT / page).read_text()))
    assert named
    assert named <= SETTINGS
