"""What deploy/ holds is valid, and true of the app."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import streamlit as st
import yaml
from prometheus_client import REGISTRY

from benchmarks.haproxy import CONFIGURATION, ROOT, haproxy
from vitviz.ui.entry.answering import Now, Server

DEPLOY = ROOT / "deploy"
HAPROXY = CONFIGURATION.read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVER = COMPOSE["services"]["vitviz"]
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
RESOURCES = [resource for file in MANIFESTS for resource in yaml.safe_load_all(file.read_text())]
BOARD = json.loads((DEPLOY / "grafana" / "vitviz.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]


def named(kind: str, name: str) -> dict[str, Any]:
    [found] = [one for one in RESOURCES if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def test_haproxy_takes_its_configuration() -> None:
    files = [CONFIGURATION, CONFIGURATION.with_name("replicas.cfg")]
    command = [haproxy(), "-c", *(part for file in files for part in ("-f", str(file)))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr


def test_haproxy_lets_the_largest_upload_pass_and_little_more() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    largest = settings["server"]["maxUploadSize"] * 2**20
    [limit] = [int(size) for size in re.findall(r"content-length\) gt (\d{2,})", HAPROXY)]
    assert largest < limit <= largest + 2**20


def test_the_policy_refuses_no_script_that_the_page_needs() -> None:
    """It lets none in that stands in the page itself, and Streamlit's has one, for crawlers."""
    page = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    inside = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", page, re.S)
    assert [script.strip() for script in inside] == ["window.prerenderReady = false"]
    assert "on" not in {name[:2] for name in re.findall(r"\s(\w+)=", page)}  # onload and the like
    [scripts] = re.findall(r"script-src ([^;]*);", HAPROXY)
    assert scripts == "'self' blob:"


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one["metadata"]["name"])
def test_kubernetes_takes_the_manifests(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, "1.37", strict=True)


def test_a_manifest_with_a_slip_is_refused() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spek": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_kustomize_has_all_files() -> None:
    assert {DEPLOY / name for name in KUSTOMIZATION["resources"]} == set(MANIFESTS)
    [generated] = KUSTOMIZATION["configMapGenerator"]
    assert {DEPLOY / name for name in generated["files"]} == set((DEPLOY / "haproxy").iterdir())


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for one in RESOURCES:
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            yield from ((pod, container) for container in pod["containers"])


def test_containers_have_no_rights() -> None:
    for pod, container in containers():
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


def test_nobody_is_ended_before_the_visitors_may_stay_no_longer() -> None:
    pod = named("Deployment", "vitviz")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    given = {one["name"]: one.get("value") for one in container["env"]}
    stays = int(given["VITVIZ_DRAIN_SECONDS"])
    assert stays < pod["terminationGracePeriodSeconds"]
    assert stays == SERVER["environment"]["VITVIZ_DRAIN_SECONDS"]
    assert stays < 60 * int(SERVER["stop_grace_period"].removesuffix("m"))
    hard_stop = re.search(r"hard-stop-after (\d+)m", HAPROXY)
    assert hard_stop is not None
    assert stays < 60 * int(hard_stop[1])


def test_what_is_set_is_what_the_app_knows() -> None:
    [container] = named("Deployment", "vitviz")["spec"]["template"]["spec"]["containers"]
    names = {one["name"] for one in container["env"]} | set(SERVER["environment"])
    names |= set(
        yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["vitviz"]["environment"]
    )
    documented = (ROOT / "docs" / "models.md").read_text()
    ours = {name for name in names if name.startswith("VITVIZ_")}
    assert {name for name in ours if f"`{name}`" not in documented} == set()
    options = {
        f"STREAMLIT_{name}" for name in ("SERVER_COOKIE_SECRET", "LOGGER_HIDE_WELCOME_MESSAGE")
    }
    assert names - ours <= options | {"HF_HOME"}


def test_haproxys_names_for_the_environment_are_those_that_are_set() -> None:
    known = set(re.findall(r"presetenv (\w+)", HAPROXY)) | {"VITVIZ_REPLICAS"}
    [container] = named("Deployment", "haproxy")["spec"]["template"]["spec"]["containers"]
    assert {one["name"] for one in container["env"]} - {"NAMESPACE"} <= known
    assert set(COMPOSE["services"]["haproxy"]["environment"]) <= known


def test_no_port_of_the_owners_is_published() -> None:
    published = [
        port for service in COMPOSE["services"].values() for port in service.get("ports", [])
    ]
    assert not [port for port in published if re.search(r"9501|8404|6379|9090|8501", port)]
    assert [port["port"] for port in named("Service", "haproxy")["spec"]["ports"]] == [80]


def test_every_number_that_is_drawn_or_watched_is_given() -> None:
    asked = [rule["expr"] for rule in RULES]
    asked += [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    names = {name for text in asked for name in re.findall(r"\b(?:vitviz|process)_\w+", text)}
    given = {metric.name for metric in Now(Server()).collect()}
    for metric in REGISTRY.collect():
        kinds = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        given |= {metric.name + end for end in kinds.get(metric.type, ("",))}
    assert len(names) > 8
    assert names <= given


def test_every_panel_has_a_place_of_its_own() -> None:
    places = [panel["gridPos"] for panel in BOARD["panels"]]
    taken = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(places)
