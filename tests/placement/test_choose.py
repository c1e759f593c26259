"""Which way a share takes: stays where it fits, else moves by a strategy, else is refused."""

import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_secxops_migrate.model import Route
from jupyter_secxops_migrate.placement import strategies
from jupyter_secxops_migrate.placement.choose import MOST_CONSIDERED, Choice, choose
from jupyter_secxops_migrate.placement.nodes import (
    Node,
    PodNeeds,
    Taint,
    Volume,
    needs_of_pod,
    with_pods,
)
from jupyter_secxops_migrate.placement.requests import NOTHING, Resources, record_of
from jupyter_secxops_migrate.placement.strategies import (
    MOST_HOSTNAMES,
    ImageWarm,
    Pack,
    Spread,
    Strategy,
    Terms,
    full_name,
    load,
)
from placement.generate import generate, predict

GIB = 2**30
NEEDS = PodNeeds(Resources(1000, GIB, 0, 1))
LARGE = PodNeeds(Resources(64000, GIB, 0, 1))
GPU = PodNeeds(Resources(1000, GIB, 0, 1, (("nvidia.com/gpu", 1),)))


def node(
    name: str, used: int = 0, *, gpu: int = 0, ours: int = 0, images: Sequence[str] = ()
) -> Node:
    extended = (("nvidia.com/gpu", gpu),) if gpu else ()
    return Node(
        name,
        Resources(4000, 8 * GIB, 0, 10, extended),
        labels={"kubernetes.io/hostname": f"host-{name}"},
        used=Resources(used, 0, 0, 1),
        ours=ours,
        images=frozenset(images),
    )


def codes(choice: Choice) -> list[str]:
    return [reason.code for reason in choice.reasons]


def spread(needs: PodNeeds, nodes: Sequence[Node] | None, **more: bool) -> Choice:
    return choose(needs, "a", nodes, (), Spread(), gpu=more.pop("gpu", False), **more)


# --------------------------------------------------------------------------- stays


def test_what_fits_on_the_sources_node_stays_and_is_pinned_by_its_hostname_label() -> None:
    choice = spread(NEEDS, [node("b"), node("a", 3000)])
    assert (choice.route, choice.node, choice.refusal) == (Route.STAY, "a", None)
    assert choice.selector == {"kubernetes.io/hostname": "host-a"}
    assert choice.terms == Terms()
    assert (choice.fitting, choice.total) == (2, 2)
    assert codes(choice) == ["stays_on_node"]
    assert [each.node for each in choice.considered] == ["a"]


def test_a_second_choice_does_not_stay_where_the_scheduler_found_no_place() -> None:
    choice = spread(NEEDS, [node("a"), node("b")], stay=False)
    assert choice.route is Route.MOVE
    assert codes(choice) == ["stay_failed", "moves"]


# --------------------------------------------------------------------------- moves


def test_what_does_not_fit_there_moves_with_the_strategys_terms_and_no_pin() -> None:
    choice = spread(NEEDS, [node("a", 3500), node("b", 2000), node("c")])
    assert (choice.route, choice.node, choice.selector) == (Route.MOVE, None, {})
    assert (choice.fitting, choice.total, choice.forecast) == (2, 3, "c")
    assert choice.terms.topology_spread
    short, moves = choice.reasons
    assert short.params == {"node": "a", "lacks": ["cpu: 1 asked, 500m free"]}
    assert moves.params == {"strategy": "spread", "fitting": 2, "total": 3, "forecast": "c"}
    assert [each.node for each in choice.considered] == ["a", "c", "b"]


def test_a_gpu_moves_it_even_from_a_node_that_has_one() -> None:
    choice = spread(GPU, [node("a", gpu=1), node("b")], gpu=True)
    assert (choice.route, choice.forecast, choice.fitting) == (Route.MOVE, "a", 1)
    assert codes(choice) == ["gpu_asked", "moves"]


def test_a_source_whose_node_is_gone_moves() -> None:
    choice = spread(NEEDS, [node("b")])
    assert (choice.route, codes(choice)) == (Route.MOVE, ["node_gone", "moves"])


def test_a_volume_that_only_one_node_reaches_decides() -> None:
    on_b = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["host-b"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [on_b]}]}
    volume = Volume.from_json(
        {"metadata": {"name": "v"}, "spec": {"nodeAffinity": {"required": required}}}
    )
    nodes = [node("a"), node("b"), node("c")]
    choice = choose(NEEDS, "a", nodes, [volume], Spread(), gpu=False)
    assert (choice.route, choice.forecast, choice.fitting) == (Route.MOVE, "b", 1)
    assert choice.reasons[0].params["lacks"] == ["volume v"]


# --------------------------------------------------------------------------- is refused


def test_what_fits_nowhere_is_refused_with_the_node_that_comes_closest() -> None:
    closed = dataclasses.replace(node("b"), taints=(Taint("k", "v", "NoSchedule"),))
    choice = spread(LARGE, [node("a", 3000), closed, node("c", 1000), node("d", 2000)])
    assert choice.refusal is not None
    assert choice.refusal.code == "no_node_fits"
    assert choice.refusal.params == {
        "node": "c",
        "lacks": ["cpu: 64 asked, 3 free"],
        "total": 4,
    }
    assert [each.node for each in choice.considered] == ["a", "c", "d", "b"]
    assert [reason.code for reason in choice.considered[-1].reasons] == [
        "node_tainted",
        "resource_short",
    ]


def test_all_that_stands_against_a_node_is_said_in_kubernetes_words() -> None:
    blocked = dataclasses.replace(
        node("a", 4000, gpu=0),
        unschedulable=True,
        taints=(Taint("k", "v", "NoSchedule"), Taint("m", "", "NoExecute")),
    )
    picky = dataclasses.replace(GPU, selector=(("zone", "z"),))
    picky = dataclasses.replace(picky, requests=picky.requests._replace(memory=9 * GIB))
    choice = spread(picky, [blocked])
    assert choice.refusal is not None
    assert choice.refusal.params["lacks"] == [
        "cordoned",
        "taint k=v:NoSchedule",
        "taint m:NoExecute",
        "node selector",
        "cpu: 1 asked, 0 free",
        "memory: 9 GB asked, 8 GB free",
        "nvidia.com/gpu: 1 asked, 0 free",
    ]


def test_a_cluster_without_nodes_is_refused() -> None:
    choice = spread(NEEDS, [])
    assert choice.refusal is not None
    assert choice.refusal.params == {"node": None, "lacks": [], "total": 0}


# --------------------------------------------------------------------------- sees little


def test_without_sight_of_nodes_it_stays_says_so_and_leaves_it_to_the_scheduler() -> None:
    choice = spread(NEEDS, None)
    assert (choice.route, choice.node) == (Route.STAY, "a")
    assert choice.selector == {"kubernetes.io/hostname": "a"}
    assert (choice.fitting, choice.total, choice.forecast, choice.considered) == (
        None,
        None,
        None,
        (),
    )
    assert choice.reasons[-1].params == {"what": ["nodes", "pods"]}


@pytest.mark.parametrize(("gpu", "stay"), [(True, True), (False, False)])
def test_without_sight_of_nodes_it_moves_where_it_must(gpu: bool, stay: bool) -> None:
    choice = spread(NEEDS, None, gpu=gpu, stay=stay)
    assert (choice.route, choice.node, choice.selector) == (Route.MOVE, None, {})
    assert choice.terms.topology_spread and choice.refusal is None


def test_without_sight_of_pods_only_the_size_of_nodes_counts() -> None:
    nodes = with_pods([node("a", 4000), node("b")], None)
    choice = spread(NEEDS, nodes)
    assert (choice.route, choice.considered[0].free) == (Route.STAY, None)
    assert choice.reasons[-1].params == {"what": ["pods"]}
    assert spread(LARGE, nodes).refusal is not None


def test_without_sight_of_volumes_it_says_so() -> None:
    choice = choose(NEEDS, "a", [node("a")], None, Spread(), gpu=False)
    assert choice.reasons[-1].params == {"what": ["volumes"]}


# --------------------------------------------------------------------------- the record


@pytest.mark.parametrize("needs", [NEEDS, LARGE])
def test_the_record_is_bounded_and_plain_json(needs: PodNeeds) -> None:
    nodes = [node("a", 4000), *(node(f"n{number:04d}") for number in range(300))]
    choice = spread(needs, nodes)
    assert len(choice.considered) == MOST_CONSIDERED
    assert choice.considered[0].node == "a"
    record = choice.as_dict()
    assert json.loads(json.dumps(record)) == record
    assert record["considered"][0]["free"] == {
        "cpu": 0,
        "memory": 8 * GIB,
        "ephemeral-storage": 0,
        "pods": 9,
    }


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([Spread(), Pack(), ImageWarm()]))
def test_a_choice_agrees_with_what_fits(seed: int, gpu: bool, strategy: Strategy) -> None:
    cluster = generate(seed)
    cluster.probe["spec"].pop("volumes", None)
    fitting = predict(cluster)
    records = [record for pod in cluster.pods if (record := record_of(pod)) is not None]
    nodes = with_pods([Node.from_json(each) for each in cluster.nodes], records)
    source = nodes[0].name
    choice = choose(needs_of_pod(cluster.probe), source, nodes, (), strategy, gpu=gpu)
    assert choice.fitting == len(fitting)
    assert (choice.refusal is None) == bool(fitting)
    assert (choice.route is Route.STAY) == (source in fitting and not gpu)
    assert choice.forecast in (fitting or {None})
    assert json.dumps(choice.as_dict())


# --------------------------------------------------------------------------- strategies


def order(strategy: Strategy, needs: PodNeeds, nodes: Sequence[Node]) -> list[str]:
    return [each.name for each in strategy.rank(needs, nodes)]


def test_spread_takes_nodes_with_few_environments_then_empty_ones() -> None:
    nodes = [node("a", ours=1), node("b", 2000), node("c", 1000), node("d", 1000)]
    assert order(Spread(), NEEDS, nodes) == ["c", "d", "b", "a"]
    (constraint,) = Spread().terms(NEEDS, nodes).topology_spread
    assert constraint == {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {
            "matchLabels": {
                "app.kubernetes.io/managed-by": "secxops-migrate",
                "secxops.io/role": "environment",
            }
        },
    }


def test_pack_takes_nodes_with_many_environments_then_full_ones() -> None:
    nodes = [node("a"), node("b", 2000), node("c", ours=2)]
    assert order(Pack(), NEEDS, nodes) == ["c", "b", "a"]
    affinity = Pack().terms(NEEDS, nodes).affinity["podAffinity"]
    assert list(affinity) == ["preferredDuringSchedulingIgnoredDuringExecution"]


def test_image_warm_takes_nodes_that_have_layers() -> None:
    needs = dataclasses.replace(NEEDS, images=frozenset(["python:3.12-slim", "r.io/lab:2"]))
    nodes = [
        node("a"),
        node("b", 2000, images=["docker.io/library/python:3.12-slim"]),
        node("c", images=["docker.io/library/python:3.11"]),
        node("d", 3000, images=["docker.io/library/python:3.12-slim", "r.io/lab:2"]),
    ]
    assert order(ImageWarm(), needs, nodes) == ["d", "b", "a", "c"]
    terms = ImageWarm().terms(needs, nodes).affinity["nodeAffinity"]
    (preferred,) = terms["preferredDuringSchedulingIgnoredDuringExecution"]
    (expression,) = preferred["preference"]["matchExpressions"]
    assert expression["values"] == ["host-b", "host-d"]


def test_image_warm_wishes_nothing_where_no_node_has_any() -> None:
    needs = dataclasses.replace(NEEDS, images=frozenset(["python:3.12"]))
    assert ImageWarm().terms(needs, [node("a")]) == Terms()
    assert ImageWarm().terms(needs, ()) == Terms()


def test_image_warm_names_a_bounded_number_of_nodes() -> None:
    needs = dataclasses.replace(NEEDS, images=frozenset(["r.io/x:1"]))
    nodes = [node(f"n{number}", images=["r.io/x:1"]) for number in range(200)]
    terms = ImageWarm().terms(needs, nodes).affinity["nodeAffinity"]
    (preferred,) = terms["preferredDuringSchedulingIgnoredDuringExecution"]
    assert len(preferred["preference"]["matchExpressions"][0]["values"]) == MOST_HOSTNAMES


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.12", "docker.io/library/python:3.12"),
        ("docker.io/python", "docker.io/library/python:latest"),
        ("jupyter/base:1", "docker.io/jupyter/base:1"),
        ("localhost/base:1", "localhost/base:1"),
        ("reg:5000/a", "reg:5000/a:latest"),
        ("quay.io/a/b@sha256:0", "quay.io/a/b@sha256:0"),
        ("index.docker.io/python:3", "docker.io/library/python:3"),
        ("index.docker.io/a/b", "docker.io/a/b:latest"),
        ("REGISTRY/b:1", "REGISTRY/b:1"),
        # Cases of distribution/reference (Apache-2.0), chosen.
        ("test.com", "docker.io/library/test.com:latest"),
        ("test:5000", "docker.io/library/test:5000"),
        ("192.168.1.1/repo", "192.168.1.1/repo:latest"),
        ("[2001:db8::1]/repo", "[2001:db8::1]/repo:latest"),
        ("[::1]:5000/repo:tag", "[::1]:5000/repo:tag"),
        ("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080"),
    ],
)
def test_images_are_named_as_kubelets_name_them(image: str, full: str) -> None:
    assert full_name(image) == full


def test_a_strategy_ranks_nodes_without_any_room() -> None:
    bare = Node("bare", NOTHING)
    for strategy in (Spread(), Pack(), ImageWarm()):
        assert order(strategy, NEEDS, [bare]) == ["bare"]


# --------------------------------------------------------------------------- entry points

PYPROJECT = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
REGISTERED = dict(
    re.findall(
        r'^([\w-]+) = "(.*)"$',
        PYPROJECT.partition(f'[project.entry-points."{strategies.GROUP}"]\n')[2].partition("\n\n")[
            0
        ],
        re.MULTILINE,
    )
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own entry points and a stranger's, as installing makes them."""
    (tmp_path / "stranger.py").write_text(
        "class Last:\n"
        "    name = 'last'\n"
        "    def terms(self, needs, nodes): ...\n"
        "    def rank(self, needs, nodes): return list(reversed(nodes))\n"
        "class Lame:\n"
        "    name = 'lame'\n"
    )
    for package, points in {
        "jupyter_secxops_migrate": REGISTERED,
        "stranger": {"last": "stranger:Last", "lame": "stranger:Lame"},
    }.items():
        info = tmp_path / f"{package}-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0\n")
        lines = [f"[{strategies.GROUP}]", *(f"{name} = {where}" for name, where in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)


@pytest.mark.usefixtures("installed")
class TestLoading:
    @pytest.mark.parametrize("name", ["spread", "pack", "image-warm"])
    def test_ours_are_registered_by_their_names(self, name: str) -> None:
        assert load(name).name == name

    def test_a_strangers_is_found(self) -> None:
        nodes = [node("a"), node("b")]
        assert order(load("last"), NEEDS, nodes) == ["b", "a"]

    def test_an_unknown_name_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(ValueError, match=r"'sprad'; there are: image-warm, la.*pack, spread"):
            load("sprad")

    def test_what_is_no_strategy_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"stranger:Lame is no placement strategy"):
            load("lame")
