"""The rights of the operators' guide are exactly those that a share uses."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.cluster import Cluster
from harness.control import AUDIT
from stage import DATA, GUIDE, PROJECT, RBAC, Stage, until

Right = tuple[str, str, str]
"""Group, resource with its subresource, verb."""

SELDOM: dict[Right, str] = {
    ("", "persistentvolumeclaims", "use"): "the admission policy asks for it",
    ("", "services", "patch"): "an interrupted launch is taken up again",
    ("batch", "jobs", "get"): "an interrupted share is taken up again",
    ("batch", "jobs", "delete"): "what has failed, or gives room to others, goes alone",
    ("", "pods/exec", "create"): "WebSockets ask for it from Kubernetes 1.35 on, before for get",
    ("", "pods/exec", "get"): "likewise",
    ("", "pods/portforward", "create"): "likewise",
    ("", "pods/portforward", "get"): "likewise",
}


REQUESTS = 58
"""A share of a project and one folder of data asks for no more, its plan and its check included."""


def granted(kinds: tuple[str, ...] = ("Role", "ClusterRole")) -> set[Right]:
    """What the guide's files grant."""
    found: set[Right] = set()
    for path in (GUIDE / "project" / "rights.yaml", GUIDE / "cluster" / "rights.yaml"):
        for item in yaml.safe_load_all(path.read_text()):
            if item["kind"] in kinds:
                for rule in item["rules"]:
                    found |= {
                        (group, resource, verb)
                        for group in rule["apiGroups"]
                        for resource in rule["resources"]
                        for verb in rule["verbs"]
                    }
    return found


def asked(cluster: Cluster, account: str) -> Iterator[tuple[Right, int]]:
    """What an account asked of the API server, each request once, with the status of the answer."""
    seen: set[str] = set()
    for line in (Path(cluster.folder) / AUDIT).read_text().splitlines():
        said = json.loads(line)
        target = said.get("objectRef")
        if said["auditID"] in seen:  # its beginning and its end
            continue
        seen.add(said["auditID"])
        if said["user"]["username"] != account or not target:
            continue
        resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
        right = (target.get("apiGroup", ""), resource, said["verb"])
        yield right, said.get("responseStatus", {}).get("code", 0)


@pytest.fixture(scope="module")
def stage(cluster: Cluster, clients: Mapping[str, str], notebook_image: str) -> Iterator[Stage]:
    """One namespace for all; but for the first test's share, what is tried in it is not done."""
    found = Stage(cluster, clients, notebook_image)
    yield found
    found.close()


@pytest.fixture
def without_pod_security(own: Cluster, stage: Stage) -> Iterator[None]:
    own.call("label", "namespace", stage.namespace, f"{BASELINE}-")
    yield
    own.call("label", "namespace", stage.namespace, f"{BASELINE}=baseline")


def listed(stage: Stage) -> list[str]:
    """The states of the environments of a list."""
    code, rows = stage.secxops("list")
    assert code == 0, rows
    return [row["environment"]["status"] for row in rows]


def test_the_rights_of_the_guide_are_those_that_are_used(own: Cluster, stage: Stage) -> None:
    stage.notebook("node-local")
    stage.fill({"Dockerfile": f"FROM {own.images['jupyter']}\n", "a.py": "1\n"}, 10)
    account = f"system:serviceaccount:{stage.namespace}:secxops"
    for words in (("doctor",), ("plan", PROJECT), ("share", PROJECT, "--data", DATA)):
        before = Counter(right for right, _ in asked(own, account))
        code, said = stage.secxops(*words)
        assert code == 0, said
    requests = Counter(right for right, _ in asked(own, account)) - before
    assert requests.total() <= REQUESTS, requests.most_common()
    print(f"a share asked {requests.total()} times: {requests.most_common()}")
    code, answer = stage.secxops("stop", said["id"])
    assert code == 0, answer
    # What was seen a moment ago is not looked at again.
    looks = ("", "services", "watch")
    until(lambda: listed(stage) == ["stopped"] and looks in dict(asked(own, account)))
    code, answer = stage.secxops("start", said["id"])
    assert code == 0, answer
    until(lambda: listed(stage) == ["running"])
    stage.secxops("sweep")
    stage.secxops("delete", said["id"], "--yes")

    found = list(asked(own, account))
    assert [right for right, status in found if status == 403] == []
    used = {right for right, _ in found}
    # Everybody may ask what they may.
    used = {right for right in used if right[0] != "authorization.k8s.io"}
    assert used - granted() == set()
    assert granted() - used - set(SELDOM) == set()


LABEL = {"app.kubernetes.io/managed-by": "secxops-migrate"}
NAME = "app.kubernetes.io/name"
NETWORK = "networking.k8s.io/v1"
BASELINE = "pod-security.kubernetes.io/enforce"
DENIED = "denied request"
FORBIDDEN = "is forbidden: User"


class Account:
    """The service account of a stage's notebooks, as any code in one of them can use it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.name = f"system:serviceaccount:{stage.namespace}:secxops"
        self.here = {"namespace": stage.namespace}

    def refused(self, *words: str, given: Mapping[str, Any] | None = None) -> str:
        """Return what the API server says to a command that it refuses."""
        space, cluster = self.stage.namespace, self.stage.cluster
        done = subprocess.run(
            [
                *(cluster.kubectl, f"--kubeconfig={cluster.kubeconfig}", "-n", space),
                *(f"--as={self.name}", *words),
            ],
            input=json.dumps(given) if given else None,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode != 0, f"{words} {given}: {done.stdout}"
        return done.stderr

    def may_not_make(self, kind: str, api: str = "v1", labels: Any = LABEL, **more: Any) -> None:
        """Try to make an object on trial."""
        self.may_make_none({"": [thing(kind, api, labels, **more)]})

    def may_make_none(self, told: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Try to make objects on trial, each of which is denied with the words told."""
        items = [item for group in told.values() for item in group]
        some = {"apiVersion": "v1", "kind": "List", "items": items}
        answer = self.refused("create", "-f", "-", "--dry-run=server", given=some)
        said = [line for line in answer.splitlines() if not line.startswith("Warning: ")]
        wanted = [why for why, group in told.items() for _ in group]
        assert len(said) == len(wanted), said
        for item, why, line in zip(items, wanted, said, strict=True):
            assert DENIED in line and why in line, f"{item}: {line}"

    def may_make(self, *items: Mapping[str, Any]) -> None:
        """Make objects on trial."""
        given = [{**it, "metadata": {**it["metadata"], **self.here}} for it in items]
        self.stage.cluster.call(
            *("-n", self.stage.namespace, f"--as={self.name}"),
            *("create", "-f", "-", "--dry-run=server"),
            given=given,
        )


def thing(kind: str, api: str = "v1", labels: Any = LABEL, **more: Any) -> dict[str, Any]:
    """An object as a share would name it."""
    metadata = {"name": "secxops-x", "labels": labels, **more.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


SECURE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod(**more: Any) -> dict[str, Any]:
    """What a pod of a share has, and more."""
    container = {"name": "a", "image": "busybox", "securityContext": SECURE}
    return {
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "containers": [{**container, **more.pop("container", {})}],
        **more,
    }


def volume(**source: Any) -> list[dict[str, Any]]:
    return [{"name": "v", **source}]


def backend(name: str) -> dict[str, Any]:
    return {"service": {"name": name, "port": {"number": 80}}}


def ingress(to: str, host: str = "x.example.org", snippet: str = "", **more: Any) -> dict[str, Any]:
    path = {"path": "/", "pathType": "Prefix", "backend": backend(to)}
    rule = {"http": {"paths": [path]}, **({"host": host} if host else {})}
    metadata = {"annotations": {snippet or "secxops.io/title": "x"}}
    return thing("Ingress", NETWORK, metadata=metadata, spec={"rules": [rule], **more})


def pods(**more: Any) -> list[dict[str, Any]]:
    """A pod, and a Job that would make one."""
    return [thing("Pod", spec=pod(**more)), job({"spec": pod(**more)})]


def job(template: Any, **more: Any) -> dict[str, Any]:
    return thing("Job", "batch/v1", spec={"template": template, **more})


def container(**more: Any) -> list[dict[str, Any]]:
    """The same container as a pod's own, and before it."""
    first = {"name": "b", "image": "busybox", "securityContext": SECURE, **more}
    return [*pods(container=more), *pods(initContainers=[first])]


def secured(**more: Any) -> list[dict[str, Any]]:
    return container(securityContext=more)


def probed(**handler: Any) -> list[dict[str, Any]]:
    probe = {"livenessProbe": handler}
    return [*pods(container=probe), *pods(container={"lifecycle": {"preStop": handler}})]


WANTED = {
    "accessModes": ["ReadWriteOnce"],
    "storageClassName": "node-local",
    "resources": {"requests": {"storage": "1Mi"}},
}


def wanted(**more: Any) -> dict[str, Any]:
    """A claim, and more of its spec."""
    return thing("PersistentVolumeClaim", spec={**WANTED, **more})


USE = {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["use"]}


def role(like: Mapping[str, Any], *rules: Mapping[str, Any]) -> dict[str, Any]:
    return {**like, "apiVersion": f"{RBAC}/v1", "rules": rules}


def test_code_in_a_notebook_cannot_become_another_account_or_touch_what_is_not_ours(
    own: Cluster, stage: Stage
) -> None:
    account = Account(stage)
    stage.claim("payroll", own.local)
    stage.apply(
        stage.like("Secret", "admins", stringData={"password": "x"}),
        stage.like("Secret", "secxops-mother", stringData={"token": "x"}),
        stage.like("ServiceAccount", "deployer"),
        {
            **stage.like("NetworkPolicy", "wall", spec={"podSelector": {}}),
            "apiVersion": "networking.k8s.io/v1",
        },
        stage.like("Pod", "neighbour", spec=pod(nodeSelector={"never": "there"})),
        role(stage.like("Role", "secxops-claims"), {**USE, "resourceNames": ["home"]}),
    )
    mark = {"kubernetes.io/service-account.name": "deployer"}
    kind = "kubernetes.io/service-account-token"

    there = {"metadata": {"name": "theirs", **account.here}}
    stage.apply({**job({"spec": pod()}, suspend=True), **there})

    # The policies reach an API server a moment after they are applied.
    until(lambda: DENIED in account.refused("delete", "pod", "neighbour", "--dry-run=server"))

    account.may_not_make("Secret", type=kind, metadata={"annotations": mark})
    account.may_not_make("Secret", labels={})
    account.may_not_make("Pod", labels={}, spec=pod())
    account.may_not_make("Pod", spec=pod(serviceAccountName="deployer"))
    account.may_not_make("Pod", spec={**pod(), "automountServiceAccountToken": True})
    token = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
    account.may_not_make("Pod", spec=pod(volumes=volume(projected=token)))
    account.may_not_make("Pod", spec=pod(volumes=volume(secret={"secretName": "admins"})))
    claim = {"claimName": "payroll"}
    account.may_not_make("Pod", spec=pod(volumes=volume(persistentVolumeClaim=claim)))
    refer = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "admins", "key": "password"}}}
    account.may_not_make("Pod", spec=pod(container={"env": [refer]}))
    account.may_not_make("Pod", spec=pod(nodeName="node-2"))
    template = {"spec": pod(serviceAccountName="deployer")}
    account.may_not_make("Job", "batch/v1", spec={"template": template})
    ports = [{"port": 80}]
    own_pod = {"selector": {NAME: "secxops-x"}, "ports": ports}
    account.may_make_none(
        {
            "outside of the cluster": [
                thing("Service", spec={**own_pod, "type": "NodePort"}),
                thing("Service", spec={**own_pod, "externalIPs": ["192.0.2.1"]}),
            ]
        }
    )
    account.may_not_make("Service", spec={"selector": {"app": "payroll"}, "ports": ports})
    account.may_not_make("NetworkPolicy", NETWORK, spec={"podSelector": {}})
    for words, why in (
        (("delete", "pod", "neighbour"), DENIED),
        (("label", "pod", "neighbour", "app.kubernetes.io/managed-by=secxops-migrate"), FORBIDDEN),
        (("delete", "pvc", "payroll"), DENIED),
        (("delete", "--raw", f"/apis/batch/v1/namespaces/{stage.namespace}/jobs"), DENIED),
        (("exec", "neighbour", "--", "id"), DENIED),
        (("delete", "networkpolicy", "wall"), FORBIDDEN),
        (("get", "secrets"), FORBIDDEN),
        (("get", "secret", "secxops-mother"), FORBIDDEN),
        (("delete", "secret", "registry"), FORBIDDEN),
    ):
        said = account.refused(*words)
        assert why in said, (words, said)


def test_what_the_account_makes_is_bound_to_its_own_environment(
    own: Cluster, stage: Stage, namespace: str
) -> None:
    account = Account(stage)
    # For the setting `link`, and one that a launcher of one's own may need.
    rule = {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["create"]}
    patch = {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}
    stage.apply(role(stage.like("Role", "secxops-claims"), rule, patch))
    ports = [{"port": 80}]
    template = {"metadata": {"labels": LABEL}, "spec": pod()}
    every = {"matchLabels": LABEL}
    account.may_make_none(
        {"its own": [job(template, manualSelector=True, selector=every, parallelism=0)]}
    )
    for way in ({"app": "payroll"}, {NAME: "payroll"}):
        account.may_make_none(
            {
                "labels": [
                    thing("Pod", labels={**LABEL, **way}, spec=pod()),
                    job({"metadata": {"labels": way}, "spec": pod()}),
                ]
            }
        )
    theirs = {NAME: "payroll"}
    called = {"metadata": {"name": "payroll"}}
    mine = {"podSelector": {"matchLabels": {NAME: "secxops-x"}}}
    account.may_make(
        thing("NetworkPolicy", NETWORK, spec=mine),
        thing("Service", spec={"selector": {NAME: "secxops-x"}, "ports": ports}),
        ingress("secxops-x"),
    )
    account.may_make_none(
        {
            "names begin": [
                thing("Pod", spec=pod(), **called),
                {**job({"spec": pod()}), **thing("Job", "batch/v1", **called)},
                thing("Secret", type="Opaque", **called),
                thing("PersistentVolumeClaim", spec=WANTED, **called),
                thing("Service", spec={"selector": theirs, "ports": ports}, **called),
                thing(
                    "NetworkPolicy",
                    NETWORK,
                    spec={"podSelector": {"matchLabels": theirs}},
                    **called,
                ),
                {**ingress("payroll"), **thing("Ingress", NETWORK, **called)},
            ],
            "no way out": [thing("NetworkPolicy", NETWORK, spec={**mine, "egress": [{}]})],
            "Ingress": [
                ingress("payroll"),
                ingress("secxops-x", host=""),
                ingress("secxops-x", tls=[{"secretName": "admins"}]),
                ingress("secxops-x", defaultBackend=backend("payroll")),
                ingress("secxops-x", snippet="nginx.ingress.kubernetes.io/server-snippet"),
            ],
        }
    )
    there = {"metadata": {"name": "secxops-y", "labels": LABEL, **account.here}}
    stage.apply({**thing("Pod", spec=pod(nodeSelector={"never": "there"})), **there})
    said = account.refused("label", "pod", "secxops-y", "app=payroll")
    assert DENIED in said and "labels" in said, said
    # A right in another namespace is confined as well.
    elsewhere = {"namespace": namespace}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}
    subject = {"kind": "ServiceAccount", "name": "secxops", **account.here}
    reference = {"apiGroup": RBAC, "kind": "Role", "name": "there"}
    there = {"metadata": {"name": "there", **elsewhere}, "apiVersion": f"{RBAC}/v1"}
    stage.apply(
        {**there, "kind": "Role", "rules": [rule]},
        {**there, "kind": "RoleBinding", "subjects": [subject], "roleRef": reference},
    )
    said = account.refused(
        *("-n", namespace, "create", "--dry-run=server", "-f", "-"),
        given=thing("Secret", type="Opaque", metadata={"name": "theirs"}),
    )
    assert DENIED in said, said


def test_no_pod_of_the_account_is_root_on_its_node_where_pod_security_is_off(
    own: Cluster, stage: Stage, without_pod_security: None
) -> None:
    unconfined = {"type": "Unconfined"}
    apparmor = {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}
    Account(stage).may_make_none(
        {
            "namespaces": [
                *pods(hostPID=True),
                *pods(hostIPC=True),
                *pods(hostNetwork=True),
            ],
            "ports": [
                *container(ports=[{"containerPort": 22, "hostPort": 22}]),
                *probed(httpGet={"port": 80, "host": "127.0.0.1"}),
                *probed(tcpSocket={"port": 80, "host": "127.0.0.1"}),
            ],
            "privileged": secured(privileged=True),
            "capabilities": [
                *secured(capabilities={"add": ["SYS_ADMIN"]}),
                *secured(capabilities={"add": ["ALL"]}),
                *secured(capabilities={"add": ["NET_ADMIN"]}),
            ],
            "/proc": [
                *pods(hostUsers=False, container={"securityContext": {"procMount": "Unmasked"}}),
                *secured(seccompProfile=unconfined),
                *secured(appArmorProfile=unconfined),
                *secured(seLinuxOptions={"type": "spc_t"}),
                *secured(seLinuxOptions={"user": "system_u"}),
                *pods(securityContext={"seccompProfile": unconfined}),
                *pods(securityContext={"seLinuxOptions": {"role": "system_r"}}),
                *pods(securityContext={"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}),
                thing("Pod", metadata={"annotations": apparmor}, spec=pod()),
                job({"metadata": {"annotations": apparmor}, "spec": pod()}),
            ],
            "volumes": [
                *pods(volumes=volume(hostPath={"path": "/"})),
                *pods(volumes=volume(ephemeral={"volumeClaimTemplate": {"spec": WANTED}})),
                *pods(volumes=volume(csi={"driver": "csi.example.org"})),
            ],
        }
    )


def test_a_claim_is_no_way_to_what_another_one_holds(own: Cluster, stage: Stage) -> None:
    account = Account(stage)
    mine = {**wanted(), "metadata": {"name": "secxops-mine", "labels": LABEL, **account.here}}
    stage.apply(
        role(stage.like("Role", "secxops-claims"), {**USE, "resourceNames": ["home"]}), mine
    )

    def of(name: str, kind: str = "PersistentVolumeClaim", **more: Any) -> dict[str, Any]:
        return {"apiGroup": "", "kind": kind, "name": name, **more}

    snapshot = of("payroll", "VolumeSnapshot", apiGroup="snapshot.storage.k8s.io")
    account.may_make(
        wanted(), wanted(dataSourceRef=of("home")), wanted(dataSource=of("secxops-mine"))
    )
    account.may_make_none(
        {
            "clone": [
                wanted(dataSourceRef=of("payroll")),
                wanted(dataSource=of("payroll")),
                wanted(dataSourceRef=snapshot),
                wanted(dataSource=snapshot),
            ],
            "never one that is there": [
                wanted(volumeName="pv-of-payroll"),
                wanted(selector={"matchLabels": {"for": "payroll"}}),
            ],
        }
    )
    grab = '{"spec": {"volumeName": "pv-of-payroll"}}'
    said = account.refused("patch", "pvc", "secxops-mine", "--type=merge", "-p", grab)
    assert "never one that is there" in said, said


MESH_ENV = [
    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
]


def injected(audience: str, **more: Any) -> dict[str, Any]:
    """A pod of a share as Istio's webhook leaves it, where its CNI plugin does the rest."""
    token = {"audience": audience, "expirationSeconds": 43200, "path": "istio-token"}
    ready = {"httpGet": {"path": "/healthz/ready", "port": 15021}}
    fields = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    proxy = {
        "image": "istio/proxyv2",
        "env": MESH_ENV,
        "ports": [{"containerPort": 15090, "name": "http-envoy-prom"}],
        "securityContext": {**SECURE, "privileged": False, "runAsUser": 1337},
    }
    marks = {"security.istio.io/tlsMode": "istio", "service.istio.io/canonical-name": "secxops-x"}
    own = {"app.kubernetes.io/name": "secxops-x", "secxops.io/role": "environment"}
    return thing(
        "Pod",
        labels={**LABEL, **own, **marks},
        spec=pod(
            initContainers=[
                {**proxy, "name": "istio-validation"},
                {
                    **proxy,
                    "name": "istio-proxy",
                    "restartPolicy": "Always",
                    "readinessProbe": ready,
                },
            ],
            volumes=[
                {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}},
                {"name": "istio-podinfo", "downwardAPI": {"items": fields}},
                {"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
                {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
            ],
            **more,
        ),
    )


def test_a_pod_into_which_a_mesh_put_its_proxy_is_let_in(own: Cluster, stage: Stage) -> None:
    account = Account(stage)
    account.may_make(injected("istio-ca"))
    taken = {"sources": [{"secret": {"name": "admins"}}]}
    account.may_make_none(
        {
            # That of the API server, whatever it is called.
            "volumes": [injected(""), injected("https://kubernetes.default.svc")],
            "secrets": pods(volumes=volume(projected=taken)),
        }
    )
