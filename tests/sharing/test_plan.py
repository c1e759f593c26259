"""What a share will do, decided from numbers and names."""

import ast
import dataclasses
import shlex
from datetime import datetime
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.building.dockerfile import parse
from jupyter_secxops_migrate.building.errors import BadDockerfile
from jupyter_secxops_migrate.engines.errors import ContainerLayer
from jupyter_secxops_migrate.engines.kubernetes.errors import NodeUnreachable
from jupyter_secxops_migrate.engines.orders import (
    ImageInfo,
    ImageProbe,
    SourceEnvironment,
    SourcePlace,
)
from jupyter_secxops_migrate.environment.build_input import Baked
from jupyter_secxops_migrate.environment.notices import Notice
from jupyter_secxops_migrate.environment.survey import Survey
from jupyter_secxops_migrate.model import (
    Folder,
    NodeCapacity,
    NotCopiedItem,
    Plan,
    ProjectVersion,
    Route,
    ShareRequest,
)
from jupyter_secxops_migrate.operations.record import finding
from jupyter_secxops_migrate.placement import choose
from jupyter_secxops_migrate.placement import cluster as placement_cluster
from jupyter_secxops_migrate.placement import policy as placement_policy
from jupyter_secxops_migrate.placement.cluster import Cluster
from jupyter_secxops_migrate.placement.nodes import Node, Taint
from jupyter_secxops_migrate.placement.policy import GIB, OneNode, ResourcePolicy
from jupyter_secxops_migrate.placement.requests import Resources
from jupyter_secxops_migrate.project.links import LinksOut
from jupyter_secxops_migrate.project.owners import OthersFiles
from jupyter_secxops_migrate.sharing import plan as module
from jupyter_secxops_migrate.sharing import warnings as plan_warnings
from jupyter_secxops_migrate.sharing.errors import Refused
from jupyter_secxops_migrate.sharing.mounts import image_volumes, lie_over, mountable, mounts
from jupyter_secxops_migrate.sharing.plan import default_name, make_plan, observe_again
from jupyter_secxops_migrate.sharing.reasons import REASONS, reason
from jupyter_secxops_migrate.sharing.refusals import refused, refused_by

MB = 1024**2
PROJECT = "/home/me/dga"
DATA = "/srv/domains"
NONE: frozenset[str] = frozenset()
PUSH = frozenset({"push"})
NODE = NodeCapacity(
    node="lab-3",
    cpu=8,
    cpu_requested=4.9,
    memory=32 * GIB,
    memory_available=20 * GIB,
    disk_available=100 * GIB,
)
HOST = SourceEnvironment(kind="host", node="lab-3")
INFO = ImageInfo(digest="sha256:0", size=1)


def surveyed(
    dockerfile: str | None = "FROM debian:12", data: tuple[str, ...] = (), **more
) -> Survey:
    return Survey(
        project=Folder(path=PROJECT, name="dga", files=312, bytes=48 * MB),
        data=[
            Folder(path=path, name=PurePosixPath(path).name, files=6210, bytes=1400 * MB)
            for path in data
        ],
        version=ProjectVersion(commit="3f2c1a9" + "0" * 33, branch="main", dirty_count=2),
        dockerfile=None if dockerfile is None else parse(dockerfile),
        **more,
    )


def planned(
    survey: Survey | None = None,
    *,
    policy=None,
    places=None,
    features=(),
    bases=None,
    source=HOST,
    node=NODE,
    on=None,
    name=None,
    **request,
) -> Plan:
    survey = survey or surveyed()
    return make_plan(
        ShareRequest(project=PROJECT, data=[f.path for f in survey.data], **request),
        survey,
        source,
        on or OneNode(node),
        features=frozenset(features),
        bases={"debian:12": INFO} if bases is None else bases,
        policy=policy or ResourcePolicy(),
        places=places or {},
        name_default=name,
    )


def codes(findings) -> list[str]:
    return [item.code for item in findings]


def test_a_plain_share_stays_here_and_says_so_in_words():
    found = planned(cpu=2, memory="4G", name="dga-2026-11-23")
    assert (found.route, found.node, found.refusals, found.warnings) == (
        Route.STAY,
        "lab-3",
        [],
        [],
    )
    assert (found.cpu, found.memory, found.gpu) == (2, 4 * GIB, 0)
    assert found.name == "dga-2026-11-23"
    assert [item.message for item in found.reasons] == [
        "Here, on node lab-3: 3.1 CPUs and 20 GB of memory are free.",
        "The files are shared as they are now (main @ 3f2c1a9 · 2 files changed).",
        "Shares no data.",
        "It will take about 28 s, most of it the first build.",
    ]
    assert found.observation == NODE


def test_a_plan_is_json_and_back():
    found = planned(surveyed(data=(DATA,)))
    assert Plan.model_validate_json(found.model_dump_json()) == found


def test_what_is_copied_and_what_is_not():
    stays = NotCopiedItem(name="dga/.ssh", reason="keys of its owner")
    found = planned(surveyed("FROM debian:12\nWORKDIR /work", (DATA,), not_copied=[stays]))
    assert [(row.role, row.name, row.mount, row.files, row.bytes) for row in found.copied] == [
        ("code", "dga", "/work", 312, 48 * MB),
        ("data", "domains", "/data/domains", 6210, 1400 * MB),
        ("packages", "packages of the Dockerfile", None, None, None),
    ]
    assert found.not_copied[0] == stays
    assert "running kernels" in [row.name for row in found.not_copied]
    assert "shares_no_data" not in codes(found.reasons)


def test_no_dockerfile_is_refused_with_what_to_write():
    found = planned(surveyed(None))
    assert codes(found.refusals) == ["no_dockerfile"]
    assert "FROM python" in found.refusals[0].hint
    assert "packages" not in [row.role for row in found.copied]
    assert "estimate" not in codes(found.reasons)


def test_a_bad_dockerfile_is_refused_with_its_line():
    error = BadDockerfile(reason="x", line=7)
    found = planned(surveyed(None, dockerfile_error=error))
    assert codes(found.refusals) == ["bad_dockerfile"]
    assert found.refusals[0].params["line"] == 7


def test_what_the_builder_can_not_run_is_refused_only_there():
    survey = surveyed("FROM debian:12\nRUN --mount=type=cache,target=/x pip install x")
    found = planned(survey)
    assert codes(found.refusals) == ["dockerfile_needs_buildkit"]
    assert found.refusals[0].message.startswith("Line 2 of the Dockerfile (RUN) needs BuildKit")
    assert planned(survey, features=["buildkit"]).refusals == []


def test_what_an_old_buildkit_can_not_run_needs_a_syntax_line_there():
    text = "FROM debian:12\nRUN <<EOF\ntrue\nEOF\n"
    refused_there = planned(surveyed(text), features=["buildkit"])
    assert codes(refused_there.refusals) == ["dockerfile_needs_buildkit"]
    named = surveyed(f"# syntax=docker/dockerfile:1\n{text}")
    assert planned(named, features=["buildkit"]).refusals == []
    assert planned(surveyed(text), features=["buildkit", "syntax-1.4"]).refusals == []


def test_a_syntax_line_is_a_comment_to_the_classic_builder_but_no_stranger_may_read_the_file():
    usual = "# syntax=docker/dockerfile:1.7-labs option\nFROM debian:12"
    assert planned(surveyed(usual)).refusals == []
    assert planned(surveyed(usual), features=["buildkit"]).refusals == []
    for strange in (
        "# syntax=evil/frontend",
        "# syntax=docker/dockerfile/../evil",
        "# syntax=docker/dockerfiles",
        "# syntax=evil docker/dockerfile:1",
        "#!/usr/bin/env docker\n# syntax=evil",
        "# something=else\n# syntax=evil",
    ):
        survey = surveyed(f"{strange}\nFROM debian:12")
        assert codes(planned(survey, features=["buildkit"]).refusals) == ["bad_dockerfile"]


def test_baked_in_code_is_a_warning_or_by_policy_a_refusal():
    survey = surveyed(baked=[Baked(line=4, files=300, bytes=48 * MB)])
    found = planned(survey)
    assert (codes(found.warnings), found.refusals) == (["image_holds_project"], [])
    assert "300 files of the project (48 MB)" in found.warnings[0].message
    found = planned(survey, policy=ResourcePolicy(bake="refuse"))
    assert (found.warnings, codes(found.refusals)) == ([], ["image_holds_project"])


def test_images_must_be_among_those_allowed_wherever_they_are_named():
    policy = ResourcePolicy(allowed_bases=["debian:*", "registry.example/*"])
    assert planned(policy=policy).refusals == []
    for line in (
        "FROM evil",
        "FROM debian:12\nCOPY --from=evil /a /b",
        "FROM $TARGETOS",
        "FROM debian:12${TARGETOS:+/evil}",
        "ARG TARGETARCH\nFROM debian:12${TARGETARCH:-/evil}",
        "ARG D=debian:12\nFROM ${D/debian/evil}",
        "FROM 'ev'il",
        "FROM debian:12\nCOPY --fr\\om=evil /a /b",
        "FROM debian:12\nCOPY --'from'=evil /a /b",
        "FROM debian:12\nCOPY --chown=à--from=evil /a /b",  # BuildKit reads flags as bytes
        "# escape=`\nFROM debian:12\nCOPY --fr`om=evil /a /b",
        'FROM debian:12\nRUN --"mount"=from=evil,target=/x true',
        "FROM debian:12\nRUN --mount='target=/x,\"from=evil\"' true",
        "FROM debian:12\nRUN --mount=from=0,target=/x true",
        "FROM debian:12\nONBUILD COPY --from=evil /a /b",
        "FROM debian:12\nRUN --mount=FROM=evil,target=/x true",
        'FROM debian:12\nRUN --mount="from=evil,target=/x" true',
        'FROM debian:12\nRUN --mount="from=evil,target=/x, from=debian:12" true',
        "FROM debian:12\nRUN --mount=from=evil,target=/x,from true",
        # A build may get these from the notebook's environment.
        "ARG HTTP_PROXY\nARG A=${HTTP_PROXY:+evil}\nFROM ${A:-debian:12}",
        "ARG all_proxy=\nFROM ${all_proxy:-debian:12}",
        # The classic builder knows finished stages only.
        "FROM debian:12\nCOPY --from=evil /a /b\nFROM debian:12 AS evil",
        "FROM debian:12 AS evil\nCOPY --from=evil /a /b",
        "FROM debian:12 AS evil\nONBUILD COPY --from=Evil /a /b",
        "FROM debian:12\nRUN --mount=from=evil,target=/x true\nFROM debian:12 AS evil",
    ):
        found = planned(surveyed(line), policy=policy, features=["buildkit", "syntax-1.4"])
        assert codes(found.refusals) == ["bad_dockerfile"], line


def test_the_image_of_the_syntax_line_must_be_allowed_too():
    survey = surveyed("# syntax=docker/dockerfile:1\nFROM debian:12")
    assert planned(survey, features=["buildkit"]).refusals == []
    policy = ResourcePolicy(allowed_bases=["debian:*"])
    (refusal,) = planned(survey, policy=policy, features=["buildkit"]).refusals
    assert (refusal.code, refusal.params["line"]) == ("bad_dockerfile", 1)


@pytest.mark.parametrize(
    ("mount", "kind"),
    [
        ("type=secret,id=key", "secret"),
        ("type=ssh", "ssh"),
        ("id=key,TYPE=Secret", "secret"),
        ('"type=secret,id=key"', "secret"),
        ("type=$KIND,id=key", "ssh"),
        ("type=$UNKNOWN,id=key", "$unknown"),
        ("type=sec\\\\ret,id=key", "secret"),
        ("\"type=sec''ret\",id=key", "secret"),
        ("type=${KIND/h/h},id=key", "ssh"),
    ],
)
def test_a_build_that_asks_for_a_secret_is_refused(mount, kind):
    survey = surveyed(f"FROM debian:12\nARG KIND=ssh\nRUN --mount={mount} pip install private")
    (refusal,) = planned(survey, features=["buildkit", "syntax-1.4"]).refusals
    assert (refusal.code, refusal.params["line"]) == ("bad_dockerfile", 3)
    assert f"a mount of the type {kind}" in refusal.message


DOWNLOADS = [
    'ADD "https://example.org/x" /x',
    "ADD ht'tps'://example.org/x /x",
    "ADD ht\\tps://example.org/x /x",
    'ADD ["ht\\\\tps://example.org/x", "/x"]',
    "ENV U=https://example.org/x\nADD $U /x",
    "ENV S=s://example.org/x\nADD http$S /x",
    "ARG U=https://example.org/x\nADD $U /x\nARG U=local",
    "ENV A=https://example.org/x A=local B=$A\nADD ${B:-https://example.org/x} /x",
    "ARG OUTER\nADD $OUTER /x",
    "ADD $OF_THE_BASE /x",
    'ADD "${OF_THE_BASE}" /x',
    "ADD h${OF_THE_BASE} /x",
    "ENV $OF_THE_BASE=https://example.org/x L=local\nENV M=1\nADD ${TARGETOS:-$L} /x",
    "ENV U=https://example.org/x\nFROM base\nADD $U /x",
    "ONBUILD ADD $U /x",
    "ONBUILD ENV U=https://example.org/x\nENV U=local\nFROM base\nADD $U /x",
    "ARG U=local\nFROM base\nADD ${U:-https://example.org/x} /x",
    "ARG https_proxy=local\nADD $https_proxy /x",
    "ARG HTTP_PROXY=local\nFROM base\nARG HTTP_PROXY\nADD $HTTP_PROXY /x",
    "RUN true \\\u00a0\nADD https://example.org/x /x",
    "ENV U=local\nENV -- U https://example.org/x\nADD $U /x",
    "ADD git@example.org:a/b.git /x",
    "ADD me@example.org:a/b.git?ref=v1 /x",
    "ADD https://example.org/a.git?subdir=x#v1 /x",
]


@pytest.mark.parametrize("lines", DOWNLOADS)
def test_every_download_of_an_add_is_seen(lines):
    survey = surveyed(f"ARG OUTER=https://example.org/x\nFROM debian:12 AS base\n{lines}\n")
    policy = ResourcePolicy(remote_add="refuse")
    features = ["buildkit", "syntax-1.4"]
    assert "bad_dockerfile" in codes(planned(survey, features=features, policy=policy).refusals)
    assert "remote_add" in codes(planned(survey, features=features).warnings)


@pytest.mark.parametrize(
    "lines",
    [
        "ADD data/$X /x",
        "ENV V=1\nADD tool-$V.tgz /x",
        "ARG TARGETARCH\nADD tool-$TARGETARCH.tgz /x",
        "ENV U=https://example.org/x\nENV U=local\nADD $U /x",
        "ENV U=local\nFROM base\nADD $U /x",
        "RUN <<EOF\nADD https://example.org/x /x\nEOF",
        "RUN << EOF\nADD https://example.org/x /x\nEOF",
        "COPY https: /x",
    ],
)
def test_what_is_no_download_is_not_taken_for_one(lines):
    survey = surveyed(f"FROM debian:12 AS base\n{lines}\n")
    policy = ResourcePolicy(remote_add="refuse")
    assert planned(survey, features=["buildkit", "syntax-1.4"], policy=policy).refusals == []


def test_other_mounts_of_a_build_are_not_refused():
    text = "FROM debian:12\nRUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t true"
    assert planned(surveyed(text), features=["buildkit"]).refusals == []


def test_a_download_by_add_is_a_warning_or_by_policy_a_refusal():
    survey = surveyed("FROM debian:12\nADD https://user:word@example.org/tool /usr/bin/tool")
    found = planned(survey)
    assert (codes(found.warnings), found.refusals) == (["remote_add"], [])
    found = planned(survey, policy=ResourcePolicy(remote_add="refuse"))
    assert (found.warnings, codes(found.refusals)) == ([], ["bad_dockerfile"])
    assert "word" not in found.model_dump_json() and found.refusals[0].params["line"] == 2
    for hidden in ("ARG U=https://example.org/x\nADD $U /x", "ARG U\nADD $U /x"):
        found = planned(
            surveyed(f"FROM debian:12\n{hidden}"), policy=ResourcePolicy(remote_add="refuse")
        )
        assert codes(found.refusals) == ["bad_dockerfile"], hidden


def test_a_base_that_is_not_here_is_said():
    found = planned(bases={"debian:12": None})
    assert "The image debian:12, which" in found.reasons[-2].message
    assert found.refusals == []


def test_a_folder_that_no_job_can_reach_is_refused():
    error = finding(ContainerLayer(path=PROJECT, mounts=["/data"]))
    assert codes(planned(places={PROJECT: error}).refusals) == ["on_container_layer"]


@pytest.mark.parametrize(
    ("asked", "refusals", "warnings"),
    [
        ({"memory": "21G"}, ["memory_short"], []),
        ({"cpu": 5}, [], ["cpu_overcommitted"]),
        ({"cpu": 9}, ["cpu_short"], []),
        ({"cpu": 1e-10}, ["cpu_too_little"], []),
        ({"cpu": 0.0099}, ["cpu_too_little"], []),
        ({"gpu": 1}, ["gpu_missing"], []),
    ],
)
def test_what_the_node_can_not_give(asked, refusals, warnings):
    found = planned(**asked)
    assert (codes(found.refusals), codes(found.warnings)) == (refusals, warnings)
    if refusals == ["cpu_too_little"]:
        assert planned(cpu=float(found.refusals[0].params["least"])).refusals == []
    else:
        assert ("stays_here" in codes(found.reasons)) is not bool(refusals)


def test_image_and_volumes_must_fit_on_the_disk():
    node = NODE.model_copy(update={"disk_available": 2 * GIB})
    assert codes(planned(surveyed(data=(DATA,)), node=node).refusals) == ["disk_short"]
    assert planned(surveyed(), node=node).refusals == []


def test_resources_come_from_the_request_then_the_source_then_the_policy():
    source = SourceEnvironment(kind="container", node="lab-3", cpu=1.5, memory=3 * GIB)
    assert (planned(cpu=1, memory="1G", source=source).cpu, planned(source=source).cpu) == (1, 1.5)
    assert planned(source=source).memory == 3 * GIB
    small = NODE.model_copy(update={"cpu": 1.0, "cpu_requested": 0})
    assert (planned(node=small).cpu, planned(node=small).refusals) == (1.0, [])


def test_unreadable_files_are_refused_before_the_copy_finds_them():
    found = planned(surveyed(unreadable=["/home/me/dga/a\n\x1b[31m"]))
    assert codes(found.refusals) == ["file_unreadable"]
    assert found.refusals[0].message.isprintable()


def test_folders_outside_the_policy_are_refused():
    policy = ResourcePolicy(allowed_roots=["/srv"])
    assert codes(planned(policy=policy).refusals) == ["path_not_allowed"]


def test_an_allowed_root_is_compared_by_components():
    survey = dataclasses.replace(surveyed(), project=Folder(path="/srv-evil/x", name="x"))
    assert planned(survey, policy=ResourcePolicy(allowed_roots=["/srv"])).refusals
    survey = dataclasses.replace(surveyed(), project=Folder(path="/srv/x", name="x"))
    assert not planned(survey, policy=ResourcePolicy(allowed_roots=["/srv"])).refusals


def test_a_remote_add_is_shown_without_its_secrets():
    found = planned(surveyed("FROM debian:12\nADD https://me:pw@x.example/a?token=t /x\n"))
    assert codes(found.warnings) == ["remote_add"]
    assert found.warnings[0].params["url"] == "https://x.example/a"
    assert "pw" not in found.model_dump_json()
    assert "token=" not in found.model_dump_json()


def test_a_version_asked_for_is_named():
    survey = dataclasses.replace(surveyed(), commit="3f2c1a9" + "0" * 33)
    assert "The files of version v1 (3f2c1a9) are shared." in [
        item.message for item in planned(survey, version="v1").reasons
    ]


def test_all_refusals_come_at_once_and_become_one_error():
    found = planned(surveyed(None), gpu=1, memory="99G")
    assert codes(found.refusals) == ["no_dockerfile", "memory_short", "gpu_missing"]
    error = refused(found)
    assert error.params["codes"] == ["no_dockerfile", "memory_short", "gpu_missing"]
    assert all(item.message in error.message for item in found.refusals)


def test_a_second_look_judges_room_only():
    first = planned(surveyed(baked=[Baked(4, 1, 1)]), cpu=4, memory="4G")
    assert codes(first.warnings) == ["image_holds_project", "cpu_overcommitted"]
    full = NODE.model_copy(
        update={"memory_available": GIB, "cpu_requested": 0, "disk_available": 0}
    )
    second = observe_again(first, OneNode(full), ResourcePolicy(), features=NONE)
    assert codes(second.refusals) == ["memory_short"]
    assert codes(second.warnings) == ["image_holds_project"]
    assert "stays_here" not in codes(second.reasons)
    assert (first.refusals, first.observation, second.observation) == ([], NODE, full)
    third = observe_again(second, OneNode(NODE), ResourcePolicy(), features=NONE)
    assert (third.refusals, codes(third.reasons)[0]) == ([], "stays_here")


def test_a_plan_of_a_cluster_is_made_again_with_another_way():
    def nodes(used: int) -> list[Node]:
        whole = Resources(4000, 8 * GIB, 0, 110)
        return [
            Node("a", whole, used=Resources(0, used * GIB, 0, 1)),
            Node("b", whole, used=Resources(0, GIB, 0, 1)),
        ]

    policy = ResourcePolicy()
    first = planned(on=Cluster("a", nodes(used=2)), cpu=1, memory="4G")
    assert (first.route, first.node, first.terms["nodeSelector"]) == (
        Route.STAY,
        "a",
        {"kubernetes.io/hostname": "a"},
    )
    assert codes(first.reasons)[0] == "fits_here"

    moved = observe_again(first, Cluster("a", nodes(used=6)), policy, features=PUSH)
    assert (moved.route, moved.node, moved.refusals) == (Route.MOVE, "b", [])
    assert codes(moved.reasons)[:2] == ["node_short", "moves"]
    assert not {"fits_here", "estimate"} & set(codes(moved.reasons))
    assert moved.terms["nodeSelector"] == {} != first.terms["nodeSelector"]
    assert moved.placement["considered"][0]["free"]["memory"] == 2 * GIB
    assert Plan.model_validate_json(moved.model_dump_json()) == moved

    # Where the scheduler did not let it stay, though there seemed to be room.
    refused_there = observe_again(
        first, Cluster("a", nodes(used=2)), policy, features=PUSH, stay=False
    )
    assert codes(refused_there.reasons)[:2] == ["stay_failed", "moves"]
    # What moves was built to move; it does not stay because there is room again.
    assert (
        observe_again(moved, Cluster("a", nodes(used=2)), policy, features=PUSH).route is Route.MOVE
    )
    # And where nothing fits any more it is refused.
    full = observe_again(first, Cluster("a", nodes(used=6)[:1]), policy, features=PUSH)
    assert codes(full.refusals) == ["no_node_fits"]
    assert observe_again(full, Cluster("a", nodes(used=2)), policy, features=PUSH).refusals == []


def test_what_has_to_move_is_refused_where_its_image_cannot_follow():
    whole = Resources(4000, 8 * GIB, 0, 110)

    def nodes(used: int) -> list[Node]:
        return [
            Node("a", whole, used=Resources(0, used * GIB, 0, 1)),
            Node("b", whole, used=Resources(0, GIB, 0, 1)),
        ]

    policy = ResourcePolicy()
    on = Cluster("a", nodes(used=6))
    assert planned(on=on, features=PUSH, cpu=1, memory="4G").refusals == []
    refused = planned(on=on, cpu=1, memory="4G")
    assert codes(refused.refusals) == ["registry_missing"]
    assert "on node a," in refused.refusals[0].message

    stays = planned(on=Cluster("a", nodes(used=2)), cpu=1, memory="4G")
    assert stays.refusals == []
    second = observe_again(stays, on, policy, features=NONE)
    assert codes(second.refusals) == ["registry_missing"]
    # One that is only not ready can't have it either, wait or not.
    away = Taint("node.kubernetes.io/not-ready", "", "NoSchedule")
    small, large = nodes(used=6)
    gone = Cluster("a", [small, dataclasses.replace(large, taints=(away,))])
    waiting = planned(on=gone, features=PUSH, cpu=1, memory="4G").refusals
    assert isinstance(refused_by(waiting), NodeUnreachable)
    final = planned(on=gone, cpu=1, memory="4G").refusals
    assert codes(final) == ["node_unreachable", "registry_missing"]
    assert isinstance(refused_by(final), Refused)
    # Its own node is worth the wait.
    there = Cluster("a", [dataclasses.replace(nodes(used=2)[0], taints=(away,))])
    assert codes(planned(on=there, cpu=1, memory="4G").refusals) == ["node_unreachable"]
    # It is about room, so it goes with it.
    assert observe_again(second, on, policy, features=PUSH).refusals == []
    third = observe_again(second, gone, policy, features=PUSH)
    assert codes(third.refusals) == ["node_unreachable"]
    assert observe_again(third, on, policy, features=PUSH).refusals == []


# --------------------------------------------------------------------------- names and words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dga-detector", "dga-detector-2026-11-23"),
        ("$(touch x)", "touch-x-2026-11-23"),
        ("--privileged", "privileged-2026-11-23"),
        ("a\nb", "a-b-2026-11-23"),
        ("...", "project-2026-11-23"),
        ("größe", "größe-2026-11-23"),
        ("x" * 300, "x" * 80 + "-2026-11-23"),
    ],
)
def test_the_default_name_is_the_projects_and_the_date(name, expected):
    assert default_name(name, datetime(2026, 11, 23)) == expected


def called(path: str, name: str) -> set[str]:
    """The texts with which a function is called somewhere in a module."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(Path(path).read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == name
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def given_by_placement() -> set[str]:
    """The codes of `Decision.reasons`: pairs of a code and its parameters, or a choice's as they are."""
    pairs = {
        node.elts[0].value
        for room in (placement_policy, placement_cluster)
        for node in ast.walk(ast.parse(Path(room.__file__).read_text()))
        if isinstance(node, ast.Tuple)
        and len(node.elts) == 2
        and isinstance(node.elts[0], ast.Constant)
        and isinstance(node.elts[1], ast.Dict | ast.Name)
    }
    # The first has two sentences, by what can be seen; the others are refusals.
    as_they_are = called(choose.__file__, "Reason") - {"stays_on_node", "no_node_fits", "node_away"}
    return pairs | as_they_are


NOTICES = {
    "lfs_missing",
    "submodule_missing",
    "filters_not_applied",
    "git_elsewhere",
    "git_alternates",
    "git_unread",
    "changes_unknown",
    "venv_inside",
    "paths_inside",
    "database_in_use",
    "build_needs_git",
}
"""All codes of notices."""


def test_every_reason_in_the_table_is_given_somewhere_and_no_other():
    given = called(module.__file__, "reason") | called(plan_warnings.__file__, "reason")
    assert given | given_by_placement() | NOTICES == set(REASONS)


def test_a_later_observation_replaces_every_reason_of_an_earlier_one():
    assert given_by_placement() <= module._PLACED


def test_no_reason_has_an_errors_code():
    assert not set(REASONS) & {error.code for error in errors.SecxopsError.catalogue()}


def test_a_name_with_braces_does_not_break_a_sentence():
    assert reason("whole_home", path="/{x}{0}").message.startswith("/{x}{0} is")


# --------------------------------------------------------------------------- mounts


def probe(workdir: str, home: str = "/home/me") -> ImageProbe:
    return ImageProbe(1000, 1000, PurePosixPath(home), PurePosixPath(workdir), ["jupyter"])


def where(survey: Survey, probe: ImageProbe | None = None, places=None, bases=None, **asked: str):
    request = ShareRequest(
        project="dga", data=[f"d{i}" for i, _ in enumerate(survey.data)], mounts=asked
    )
    return mounts(request, survey, probe, places or {}, bases=bases)


@pytest.mark.parametrize(
    ("workdir", "home", "expected"),
    [
        ("/work", "/root", "/work"),
        ("/usr/src/app", "/root", "/usr/src/app"),
        ("/", "/root", "/root/dga"),
        ("/etc", "/home/me", "/home/me/dga"),
        ("/tmp", "/home/me", "/home/me/dga"),
        ("/a:b", "/home/me", "/home/me/dga"),
        ("/", "", "/home/dga"),
        # What the image has in a home stays visible.
        ("/home/me", "/home/me", "/home/me/dga"),
        ("/opt/app", "/opt/app/home", "/opt/app/home/dga"),
        ("/home/me/work", "/home/me", "/home/me/work"),
    ],
)
def test_code_from_the_host_goes_to_the_images_working_directory(workdir, home, expected):
    assert where(surveyed(), probe(workdir, home)) == {PROJECT: expected}


@pytest.mark.parametrize(
    ("dockerfile", "base", "expected"),
    [
        ("FROM b\nWORKDIR /work", None, "/work"),
        ("FROM b\nWORKDIR /work/", None, "/work"),
        ("FROM b", "/srv/x", "/srv/x"),
        ("FROM b", "", None),
        ("FROM b\nWORKDIR /", "/srv/x", None),
        ("FROM b\nWORKDIR $X", "/srv/x", None),
        ("FROM scratch", None, None),
        ("FROM b\nWORKDIR /home/me", None, None),
        ("FROM b", "/root", None),
    ],
)
def test_before_the_build_the_dockerfile_says_what_it_can(dockerfile, base, expected):
    info = None if base is None else ImageInfo(digest="x", size=1, workdir=base)
    assert where(surveyed(dockerfile), bases={"b": info}) == {PROJECT: expected}


def test_an_image_has_the_volumes_of_its_base_and_of_its_dockerfile():
    base = ImageInfo(digest="x", size=1, volumes=("/of/base",))
    text = "FROM b AS one\nVOLUME /of/one\nFROM one\nVOLUME /of/last"
    assert image_volumes(parse(text), {"b": base}) == ["/of/base", "/of/one", "/of/last"]
    assert image_volumes(parse(text), {"b": None}) == ["/of/one", "/of/last"]
    assert image_volumes(parse("FROM scratch"), {}) == []


@pytest.mark.parametrize(
    ("volume", "over"),
    [
        ("/work/a", (PROJECT, "a")),
        ("/work/a/b/", (PROJECT, "a/b")),
        ("work/./x/../a", (PROJECT, "a")),
        ("//work/a", (PROJECT, "a")),
        ("/work", None),
        ("/work/", None),
        ("/", None),
        ("/works/a", None),
        ("/work/in", None),
        ("/work/in/a", (DATA, "a")),
        # Nothing of it is copied: another mount lies there.
        ("/work/mounted", None),
        ("/work/mounted/a", None),
    ],
)
def test_a_volume_lies_over_what_is_mounted_around_it(volume, over):
    survey = surveyed(elsewhere={PROJECT: ["mounted"]})
    found = list(
        lie_over([volume, volume], {PROJECT: "/work", DATA: "/work/in", "x": None}, survey)
    )
    assert [(row.folder, row.path) for row in found] == ([over] if over else [])


def test_a_source_in_a_container_keeps_its_mounts():
    places = {
        PROJECT: SourcePlace("volume", "v", "dga", "/home/jovyan/dga"),
        DATA: SourcePlace("bind", "/x", mount="/mnt/domains"),
    }
    assert where(surveyed(data=(DATA,)), probe("/work"), places) == {
        PROJECT: "/home/jovyan/dga",
        DATA: "/mnt/domains",
    }


def test_data_inside_the_project_may_stay_inside_where_the_source_has_it_so():
    inner = f"{PROJECT}/data"
    survey = surveyed(data=(inner,), inside={inner: "data"})
    places = {
        PROJECT: SourcePlace("volume", "v", mount="/work"),
        inner: SourcePlace("volume", "v", "data", mount="/work/data"),
    }
    assert where(survey, probe("/"), places) == {PROJECT: "/work", inner: "/work/data"}
    assert where(survey, probe("/work"), dga="/a", d0="/a/data") == {
        PROJECT: "/a",
        inner: "/a/data",
    }
    with pytest.raises(errors.InvalidRequest):
        where(survey, probe("/work"), dga="/a/b", d0="/a")
    with pytest.raises(errors.InvalidRequest):
        where(survey, probe("/work"), dga="/a", d0="/a")


def test_data_inside_the_project_keeps_its_place_in_it():
    inner = f"{PROJECT}/data/raw"
    survey = surveyed("FROM debian:12\nWORKDIR /w", (inner,), inside={inner: "data/raw"})
    found = planned(survey, places={inner: SourcePlace("bind", inner)})
    assert [row.mount for row in found.copied] == ["/w", "/w/data/raw", None]
    assert "data_moves" not in codes(found.reasons)
    unknown = dataclasses.replace(survey, dockerfile=parse("FROM debian:12"))
    assert where(unknown) == {PROJECT: None, inner: None}
    assert where(unknown, probe("/", "/home/me")) == {
        PROJECT: "/home/me/dga",
        inner: "/home/me/dga/data/raw",
    }
    in_pod = {
        PROJECT: SourcePlace("volume", "v", mount="/work"),
        inner: SourcePlace("volume", "d", mount="/work/data/raw"),
    }
    assert where(survey, probe("/"), in_pod, dga="/a") == {PROJECT: "/a", inner: "/a/data/raw"}


def test_data_that_cannot_stay_in_the_project_is_said_to_move():
    inner = f"{PROJECT}/12:30"
    found = planned(surveyed("FROM debian:12\nWORKDIR /w", (inner,), inside={inner: "12:30"}))
    assert found.copied[1].mount.startswith("/data/")
    assert "data_moves" in codes(found.reasons)


def test_data_is_not_mounted_over_other_files_of_the_code():
    inner = f"{PROJECT}/data"
    with pytest.raises(errors.InvalidRequest, match="overlap"):
        where(surveyed(data=(inner,), inside={inner: "data"}), probe("/w"), d0="/w/src")


def test_data_given_as_a_link_is_where_the_link_was():
    survey = surveyed(data=(DATA,), links_given={DATA: "/home/me/sets"})
    places = {
        PROJECT: SourcePlace("bind", PROJECT, mount=PROJECT),
        DATA: SourcePlace("bind", DATA, mount=DATA),
    }
    assert where(survey, probe("/work"), places)[DATA] == "/home/me/sets"


def links(way: str, target: str, root: str = PROJECT, paths=("a",), *, whole: bool = False):
    return LinksOut(root, way, target, len(paths), paths, whole)


@pytest.mark.parametrize(
    ("row", "asked", "data", "dangles"),
    [
        (links("/mnt/big", "/mnt/big"), {}, (), True),
        (links("/mnt/big", "/mnt/big"), {}, ("/mnt/big",), True),
        (links("/mnt/big", "/mnt/big"), {"d0": "/mnt/big"}, ("/mnt/big",), False),
        (links("/mnt/big/x/y", "/mnt/big/x/y"), {"d0": "/mnt/big"}, ("/mnt/big",), False),
        (links("/mnt/big", "/mnt/other"), {"d0": "/mnt/big"}, ("/mnt/big",), True),
        (links(f"{PROJECT}/lib", f"{PROJECT}/lib"), {}, (), True),
        (links(f"{PROJECT}/lib", f"{PROJECT}/lib"), {"dga": PROJECT}, (), False),
        (links("../shared", "/home/me/shared"), {}, ("/home/me/shared",), True),
        (
            links("../shared", "/home/me/shared"),
            {"dga": "/w/dga", "d0": "/w/shared"},
            ("/home/me/shared",),
            False,
        ),
    ],
)
def test_links_are_judged_by_where_the_copy_has_what_they_lead_to(row, asked, data, dangles):
    survey = surveyed("FROM debian:12\nWORKDIR /w/dga", data, links_out=[row])
    request = {PROJECT if key == "dga" else data[0]: mount for key, mount in asked.items()}
    found = planned(survey, mounts=request)
    assert codes(found.warnings) == (["links_dangle"] if dangles else [])


@pytest.mark.parametrize(
    ("row", "dockerfile", "take"),
    [
        (
            links("../sets", "/home/me/sets", paths=("data",), whole=True),
            "FROM debian:12",
            f"--data {PROJECT}/data",
        ),
        (
            links("/mnt/my sets", "/mnt/my sets"),
            "FROM debian:12",
            "--data '/mnt/my sets' --mount '/mnt/my sets'='/mnt/my sets'",
        ),
        (
            links("../sets", "/home/me/sets"),
            "FROM debian:12\nWORKDIR /srv/dga",
            "--data /home/me/sets --mount /home/me/sets=/srv/sets",
        ),
        (
            links("../sets", "/home/me/sets"),
            "FROM debian:12",
            f"--data /home/me/sets --mount {PROJECT}={PROJECT} --mount /home/me/sets=/home/me/sets",
        ),
    ],
)
def test_the_options_that_the_plan_names_bring_what_links_lead_to(row, dockerfile, take):
    (warning,) = planned(surveyed(dockerfile, links_out=[row])).warnings
    assert warning.params["take"] == take
    # What a client asks for brings the same.
    words = [f"--data {shlex.quote(path)}" for path in warning.params["data"]]
    for path, mount in warning.params["mounts"].items():
        words.append(f"--mount {shlex.quote(path)}={shlex.quote(mount)}")
    assert " ".join(words) == take
    assert (warning.params["count"], warning.params["first"]) == (1, row.paths[0])
    assert warning.message == (
        f"Links in dga will lead nowhere in the copy (1): {row.paths[0]} points to {row.target}."
    )


def test_of_a_model_hubs_snapshot_the_plan_names_the_folder_with_its_blobs():
    hub = "/home/me/.cache/hub/models--x"
    row = links("../../blobs", f"{hub}/blobs", f"{hub}/snapshots/1", ("a", "b"))
    found = planned(surveyed(data=(f"{hub}/snapshots/1",), links_out=[row]))
    assert codes(found.warnings) == ["links_leave_data"]
    assert found.warnings[0].hint == f"Take the folder that holds both instead: --data {hub}"
    params = found.warnings[0].params
    assert (params["data"], params["instead"]) == ([hub], f"{hub}/snapshots/1")


@pytest.mark.parametrize(
    ("workdir", "expected"),
    [
        ("/data", "/mnt/data/domains"),
        ("/data/domains/x", "/mnt/data/domains"),
        ("/mnt", "/data/domains"),
    ],
)
def test_planned_mounts_never_overlap(workdir, expected):
    assert where(surveyed(data=(DATA,)), probe(workdir))[DATA] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("domains-2", "/data/domains-2"),
        ("my data", "/data/my data"),
        ("größe", "/data/größe"),
        ("a:b", None),
        ("$(touch x)", None),
        ("..", None),
        ("a\nb", None),
        ("--privileged", "/data/--privileged"),
    ],
)
def test_a_datas_name_becomes_one_harmless_component(name, expected):
    survey = dataclasses.replace(surveyed(), data=[Folder(path=DATA, name=name)])
    mount = where(survey, probe("/work"))[DATA]
    assert mount is not None
    assert mountable(mount) is None
    assert PurePosixPath(mount).parent == PurePosixPath("/data")
    if expected is not None:
        assert mount == expected


def test_a_request_moves_them_by_the_paths_as_given_or_as_found():
    survey = surveyed(data=(DATA,))
    assert where(survey, probe("/work"), dga="/a", d0="/b") == {PROJECT: "/a", DATA: "/b"}
    assert where(survey, probe("/work"), **{PROJECT: "/a", DATA: "/b"}) == {
        PROJECT: "/a",
        DATA: "/b",
    }


@pytest.mark.parametrize(
    "mount",
    [
        "", "x", "./x", "/", "//x", "/x/", "/x/../y", "/x/./y", "/etc", "/etc/x", "/usr", "/usr/bin", "/proc", "/proc/1", "/dev/shm",
        "/var", "/lib", "/sys/x", "/run/docker.sock", "/a:b", "/a,b", "/a\nb", "/" + "x" * 2000, "/home", "/tmp",
    ],
)  # fmt: skip
def test_an_impossible_mount_is_refused(mount):
    if mount:
        with pytest.raises(errors.InvalidRequest):
            where(surveyed(), probe("/work"), dga=mount)
    assert mountable(mount) is not None


@pytest.mark.parametrize(
    "asked", [{"dga": "/a", "d0": "/a"}, {"dga": "/a", "d0": "/a/b"}, {"dga": "/a/b", "d0": "/a"}]
)
def test_overlapping_mounts_are_refused(asked):
    with pytest.raises(errors.InvalidRequest, match="overlap"):
        where(surveyed(data=(DATA,)), probe("/work"), **asked)


def test_a_mount_for_something_else_is_refused():
    with pytest.raises(errors.InvalidRequest, match="neither"):
        where(surveyed(), probe("/work"), other="/x")


@given(
    st.text(max_size=40), st.sampled_from(["/", "/data", "/work", "/etc", "relative", "/data/x"])
)
def test_whatever_the_names_planned_mounts_can_be_mounted_and_do_not_overlap(name, workdir):
    survey = dataclasses.replace(
        surveyed(),
        project=Folder(path=PROJECT, name=name),
        data=[Folder(path="/1", name=name), Folder(path="/2", name=f"{name}-2")],
    )
    found = list(where(survey, probe(workdir)).values())
    assert all(mount is not None and mountable(mount) is None for mount in found)
    for mount in found:
        for other in found:
            assert mount is other or not PurePosixPath(mount).is_relative_to(other)


def test_what_will_work_otherwise_in_the_copy_is_a_warning():
    venv = Notice("venv_inside", 2, [".venv", "env"])
    borrowed = Notice("git_alternates", 2, ["project/clone", "data/clone"])
    found = planned(surveyed(notices=[venv, borrowed]))
    assert codes(found.warnings) == ["venv_inside", "git_alternates"]
    assert found.warnings[0].params == {"count": 2, "first": ".venv", "paths": [".venv", "env"]}
    assert "(2, such as project/clone)" in found.warnings[1].message
    assert "git repack -a -d" in found.warnings[1].hint


def test_an_environment_whose_path_stays_is_no_warning():
    runs = Notice("paths_inside", 1, ["project/mlruns/0/meta.yaml"], source=PROJECT)
    assert codes(planned(surveyed(notices=[runs])).warnings) == ["paths_inside"]
    found = planned(
        surveyed(notices=[Notice("venv_inside", 1, [".venv"]), runs]), mounts={PROJECT: PROJECT}
    )
    assert found.warnings == []


def test_files_of_others_are_named_and_go_to_the_copys_user_unless_they_stay_theirs():
    survey = surveyed(others={PROJECT: OthersFiles(5, 2, ("a", "b", "c"), 7)})
    found = planned(survey)
    assert found.warnings == []
    (given,) = (row for row in found.reasons if row.code == "owners_given")
    of_both = {"folder": "dga", "count": 2, "first": "a", "paths": ["a", "b"]}
    assert given.params == {**of_both, "source": PROJECT, "barred": 7}
    found = planned(survey, keep_owners=True)
    assert codes(found.warnings) == ["owners_kept"]
    assert "owners_given" not in codes(found.reasons)
    open_to_all = surveyed(others={PROJECT: OthersFiles(5, 0, ("a",))})
    assert codes(planned(open_to_all, keep_owners=True).warnings) == []


def test_what_was_to_be_kept_and_keeps_nothing_is_named():
    found = planned(surveyed(keep_unused=[".enf", "evil\x1b[2J", *map(str, range(100))]))
    assert [row.params["path"] for row in found.warnings[:2]] == [".enf", "evil\\x1b[2J"]
    assert codes(found.warnings) == ["keep_unused"] * 20
    assert found.warnings[0].message.startswith("You asked to keep .enf, but that changes nothing")


def test_what_another_mount_holds_is_a_warning_with_the_way_out():
    found = planned(surveyed(elsewhere={PROJECT: ["data"], DATA: []}))
    assert codes(found.warnings) == ["mount_inside"]
    assert found.warnings[0].message.startswith(f"{PROJECT}/data is a mount of its own inside dga")
    assert found.warnings[0].hint == f"Take it along with --data {PROJECT}/data."
    assert found.refusals == []
