"""The manifests: what Kubernetes and the Prometheus operator would take, tried without a cluster."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from memprof_middleware import Config
from memprof_middleware.cli import main

# The versions that are tried: one of today, and one that is old.
VERSIONS = ("1.37", "1.29")
SCHEMAS = json.loads(Path(__file__).with_name("operator_schemas.json").read_text())
# What a user has before the patch.
DEPLOYMENT = yaml.safe_load("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: shop}}
  template:
    metadata: {labels: {app.kubernetes.io/name: shop, app.kubernetes.io/version: 2.4.1}}
    spec:
      containers:
        - name: web
          image: shop:2.4.1
          ports: [{name: http, containerPort: 8000}]
          env: [{name: DATABASE, value: db}]
          readinessProbe: {httpGet: {path: /ready, port: http}}
        - {name: proxy, image: proxy:1}
""")
# By what a list is merged, as Kubernetes does it.
MERGED_BY = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath"}


def merged(old: Any, patch: Any, field: str = "") -> Any:
    """A strategic merge, of what the patch has."""
    if isinstance(patch, dict):
        return {key: merged(old.get(key), patch[key], key) if key in patch and key in old else
                (patch[key] if key in patch else old[key]) for key in {**old, **patch}}  # fmt: skip
    if isinstance(patch, list) and field in MERGED_BY:
        key = MERGED_BY[field]
        known = {entry[key]: entry for entry in old}
        return list({**known, **{e[key]: merged(known[e[key]], e) if e[key] in known else e for e in patch}}.values())
    return patch


@pytest.fixture
def printed(capsys):
    """The manifests that a command prints."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        assert main(arguments) == 0
        return list(yaml.safe_load_all(capsys.readouterr().out))

    return run


def validate(manifest: dict[str, Any]) -> None:
    """Strictly: a misspelt field is an error."""
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


def validate_custom(manifest: dict[str, Any]) -> None:
    assert manifest["apiVersion"] == "monitoring.coreos.com/v1"
    jsonschema.validate(manifest, {"$defs": SCHEMAS["$defs"], **SCHEMAS[manifest["kind"]]})


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--namespace", "prod", "--name", "cart", "--user", "10001"],
        ["--token-secret", "cart-memprof", "--probe-path", "/healthz", "--port", "8000"],
        ["--monitor", "service", "--selector", "app=cart", "--selector", "tier=web", "--label", "release=prometheus"],
        ["--monitor", "service", "--port", "8000", "--token-secret", "cart-memprof"],
    ],
)
def test_the_manifests_are_valid(options, printed):
    """The patched Deployment by Kubernetes' own schemas, the monitor by the operator's."""
    patch, monitor = printed("kubernetes", *options)
    validate(merged(copy.deepcopy(DEPLOYMENT), patch))
    validate_custom(monitor)


@pytest.mark.parametrize("place", ["spec", "container", "monitor"])
def test_a_misspelt_field_is_found(place, printed):
    """The tests above would notice."""
    patch, monitor = printed("kubernetes")
    deployment = merged(copy.deepcopy(DEPLOYMENT), patch)
    if place == "monitor":
        monitor["spec"]["podMetricsEndpoints"][0]["relabelling"] = []
        with pytest.raises(jsonschema.ValidationError):
            validate_custom(monitor)
        return
    spec = deployment["spec"]["template"]["spec"]
    (spec if place == "spec" else spec["containers"][0])["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(deployment)


def test_the_patch_keeps_what_is_the_users(printed):
    """Image, ports, probes, environment and other containers stay as they are."""
    [patch] = printed("kubernetes", "--only", "deployment")
    containers = merged(copy.deepcopy(DEPLOYMENT), patch)["spec"]["template"]["spec"]["containers"]
    web, proxy = containers
    before = DEPLOYMENT["spec"]["template"]["spec"]["containers"]
    assert proxy == before[1]
    assert {key: web[key] for key in ("image", "ports", "readinessProbe")} == {
        key: before[0][key] for key in ("image", "ports", "readinessProbe")
    }
    assert web["env"][0] == before[0]["env"][0]


def test_a_pod_with_a_read_only_root_has_what_the_profiler_writes(printed):
    """The folder of the workers is a volume in memory, which the setting names; nothing of the root is written."""
    [patch] = printed("kubernetes", "--only", "deployment")
    spec = patch["spec"]["template"]["spec"]
    [web] = spec["containers"]
    assert web["securityContext"]["readOnlyRootFilesystem"] is True
    env = {entry["name"]: entry for entry in web["env"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in web["volumeMounts"]}
    volumes = {volume["name"]: volume["emptyDir"] for volume in spec["volumes"]}
    assert volumes[mounts[env["MEMPROF_RUN_DIR"]["value"]]]["medium"] == "Memory"
    assert "medium" not in volumes[mounts["/tmp"]]
    assert web["resources"]["limits"]["memory"] == "512Mi"


def test_pod_and_node_come_from_the_downward_api(printed):
    """For what is pushed; what is scraped has the node from Prometheus."""
    patch, monitor = printed("kubernetes")
    [web] = patch["spec"]["template"]["spec"]["containers"]
    paths = {e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in web["env"] if "valueFrom" in e}
    assert paths == {
        "MEMPROF_RELEASE": "metadata.labels['app.kubernetes.io/version']",
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "NODE_NAME": "spec.nodeName",
    }
    # A reference is filled in only if the variable stands before it.
    names = [entry["name"] for entry in web["env"]]
    attributes = web["env"][names.index("OTEL_RESOURCE_ATTRIBUTES")]["value"]
    for name in ("POD_NAME", "POD_NAMESPACE", "NODE_NAME"):
        assert f"=$({name})" in attributes
        assert names.index(name) < names.index("OTEL_RESOURCE_ATTRIBUTES")
    [node] = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert node == {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}


def test_every_setting_in_the_patch_is_one(printed):
    """The environment of the container is what the profiler reads; without a version the release is not set."""
    [patch] = printed("kubernetes", "--only", "deployment", "--token-secret", "s")
    env = patch["spec"]["template"]["spec"]["containers"][0]["env"]
    ours = {entry["name"]: entry.get("value", "") for entry in env if entry["name"].startswith("MEMPROF_")}
    assert set(ours) == {"MEMPROF_RUN_DIR", "MEMPROF_RELEASE", "MEMPROF_METRICS_TOKEN", "MEMPROF_TOKEN"}
    config = Config.from_env(ours)
    assert (config.run_dir, config.release, config.token, config.metrics_token) == ("/run/memprof", None, None, None)


def test_the_monitor_finds_the_pods(printed):
    """By the labels that are asked for, on a port by name or by number, with the token of the same secret."""
    [monitor] = printed("kubernetes", "--only", "monitor", "--port", "9000", "--selector", "app=shop",
                        "--label", "release=prometheus", "--token-secret", "shop-memprof")  # fmt: skip
    assert monitor["metadata"]["labels"] == {"release": "prometheus", "app.kubernetes.io/name": "shop"}
    assert monitor["spec"]["selector"] == {"matchLabels": {"app": "shop"}}
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["portNumber"] == 9000
    assert endpoint["authorization"] == {"credentials": {"name": "shop-memprof", "key": "metrics"}}
    [monitor] = printed("kubernetes", "--only", "monitor", "--monitor", "service", "--port", "9000")
    assert monitor["spec"]["endpoints"][0]["targetPort"] == 9000


def test_the_metrics_path_is_the_applications(printed, monkeypatch):
    """What the environment tells the application holds for the monitor too."""
    monkeypatch.setenv("MEMPROF_METRICS_PATH", "/internal/metrics")
    [monitor] = printed("kubernetes", "--only", "monitor")
    assert monitor["spec"]["podMetricsEndpoints"][0]["path"] == "/internal/metrics"
    assert "namespace" not in monitor["metadata"]


def test_the_rules_are_a_resource_of_the_operator(printed, groups):
    """A PrometheusRule with the labels that are asked for, and in it the very rules."""
    [rule] = printed("rules", "--format", "prometheusrule", "--label", "release=prometheus", "--label", "team=web")
    validate_custom(rule)
    assert rule["metadata"]["labels"] == {"release": "prometheus", "team": "web"}
    assert rule["spec"]["groups"] == groups
    [rule] = printed("rules", "--format", "prometheusrule")
    validate_custom(rule)


def test_the_dashboard_is_a_config_map(printed, board):
    """With the label that Grafana's sidecar looks for; small enough for ``kubectl apply``, which keeps a copy."""
    [found] = printed("dashboard", "--format", "configmap", "--label", "team=web")
    validate(found)
    assert found["metadata"]["labels"] == {"grafana_dashboard": "1", "team": "web"}
    assert json.loads(found["data"]["memprof.json"]) == board
    assert len(json.dumps(found)) < 200_000
