"""What placement says of random clusters is what the real scheduler does with them.

All of them stand in one API server at a time: nodes without a kubelet, pods bound to them, volumes
bound to their claims. Each node is asked for by a probe of its own, pinned to it, so that the
scheduler judges every node and not only the one that it likes best: a probe is bound, or it is
unschedulable. See ``placement.generate`` for what keeps the clusters apart.
"""

from __future__ import annotations

import copy
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from effort import soaked
from harness.cluster import Cluster
from placement.generate import HOSTNAME, MARK, generate, predict
from placement.generate import Cluster as Generated

Json = dict[str, Any]

# The scheduler's own queue tries again after seconds; nothing may be judged before that is through.
SECONDS_TO_SCHEDULE = 180
ASKING = 8


class Api:
    """The API through ``kubectl proxy``, which signs in; one connection for each thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def __call__(self, method: str, path: str, body: object = None) -> Json:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            self._local.connection = connection
            self._connections.append(connection)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status < 300, f"{method} {path}: {answer.status} {text[:500]}"
        return json.loads(text)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def all(self, calls: Iterable[tuple[str, str, object]]) -> None:
        """Make calls of which none waits for another."""
        with ThreadPoolExecutor(ASKING) as pool:
            list(pool.map(lambda call: self(*call), calls))


@contextmanager
def proxy(cluster: Cluster) -> Iterator[Api]:
    command = [cluster.kubectl, f"--kubeconfig={cluster.kubeconfig}", "proxy", "--port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    # "Starting to serve on 127.0.0.1:41234"
    api = Api(int(process.stdout.readline().rpartition(":")[2]))
    try:
        yield api
    finally:
        api.close()
        process.terminate()
        process.communicate()


class Stage:
    """Where the generated objects stand."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self.claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        self.volumes = "/api/v1/persistentvolumes"
        self.nodes = "/api/v1/nodes"
        self.runtime_classes = "/apis/node.k8s.io/v1/runtimeclasses"

    def set_up(self, clusters: Sequence[Generated]) -> None:
        """Make all but the probes, and wait until volumes are bound."""

        def made(path: str, kind: str) -> None:
            self.api.all(("POST", path, each) for one in clusters for each in getattr(one, kind))

        made(self.nodes, "nodes")
        made(self.runtime_classes, "runtime_classes")
        made(self.volumes, "volumes")
        made(self.claims, "claims")
        made(self.pods, "pods")
        self.api.all(
            ("PATCH", f"{self.pods}/{pod['metadata']['name']}/status", {"status": pod["status"]})
            for one in clusters
            for pod in one.pods
            if "status" in pod
        )
        deadline = time.monotonic() + 60
        while True:
            claims = self.api("GET", self.claims)["items"]
            if all(each["status"].get("phase") == "Bound" for each in claims):
                return
            assert time.monotonic() < deadline, "claims are not bound"
            time.sleep(0.2)

    def taken_from(self, one: Generated) -> list[Json]:
        """A cluster's probes: for each node one that can run nowhere else."""
        probes = []
        for node in one.nodes:
            name = node["metadata"]["name"]
            probe = copy.deepcopy(one.probe)
            probe["metadata"]["name"] = f"probe-{name}"
            probe["metadata"]["labels"]["probe"] = "true"
            probe["spec"]["nodeSelector"][HOSTNAME] = name
            probes.append(probe)
        return probes

    def judged(self) -> tuple[set[str], set[str]]:
        """Return the nodes whose probes were bound, and those whose were refused."""
        bound, refused = set(), set()
        for pod in self.api("GET", f"{self.pods}?labelSelector=probe")["items"]:
            node = pod["spec"]["nodeSelector"][HOSTNAME]
            if pod["spec"].get("nodeName"):
                bound.add(node)
            elif any(
                each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable"
                for each in pod["status"].get("conditions", [])
            ):
                refused.add(node)
        return bound, refused

    def clear(self) -> None:
        for path in (self.pods, self.claims, self.volumes, self.runtime_classes, self.nodes):
            self.api("DELETE", f"{path}?labelSelector={MARK}")


@pytest.fixture
def stage(own: Cluster, namespace: str) -> Iterator[Stage]:
    with proxy(own) as api:
        stage = Stage(api, namespace)
        try:
            yield stage
        finally:
            stage.clear()


@pytest.mark.parametrize("count", [50, soaked(200)])
def test_fits_or_does_not_is_what_the_real_scheduler_says(
    stage: Stage, namespace: str, count: int
) -> None:
    clusters = [generate(seed, namespace) for seed in range(count)]
    fitting = set().union(*map(predict, clusters))
    nodes = {node["metadata"]["name"] for one in clusters for node in one.nodes}
    stage.set_up(clusters)
    probes = [probe for one in clusters for probe in stage.taken_from(one)]
    stage.api.all(("POST", stage.pods, probe) for probe in probes)

    deadline = time.monotonic() + SECONDS_TO_SCHEDULE
    while True:
        bound, refused = stage.judged()
        if bound == fitting and bound | refused == nodes:
            break
        # What was bound by mistake stays bound; what was refused too early is tried again.
        if bound - fitting or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert sorted(bound - fitting) == [], "bound, but said not to fit"
    assert sorted(fitting - bound) == [], "said to fit, but not bound"
    assert refused == nodes - fitting
    assert len(fitting) > count and len(refused) > 2 * count
