"""The resource policy: numbers in, a decision out."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError
from traitlets.config import Config

from jupyter_secxops_migrate.model import NodeCapacity
from jupyter_secxops_migrate.placement.policy import (
    GIB,
    Needs,
    ResourcePolicy,
    decide,
    free_cpu,
    free_gpu,
    free_memory,
)

NODE = NodeCapacity(
    node="lab-3",
    cpu=8,
    cpu_requested=4.9,
    memory=32 * GIB,
    memory_requested=10 * GIB,
    memory_available=9 * GIB,
    disk=100 * GIB,
    disk_available=20 * GIB,
)
FITS = Needs(cpu=2, memory=4 * GIB, disk=GIB)


def codes(errors) -> list[str]:
    return [error.code for error in errors]


@pytest.mark.parametrize(
    ("change", "refusals", "warnings"),
    [
        ({}, [], []),
        ({"memory": 9 * GIB}, [], []),
        ({"memory": 9 * GIB + 1}, ["memory_short"], []),
        ({"cpu": 3.1}, [], []),
        ({"cpu": 3.2}, [], ["cpu_overcommitted"]),
        ({"cpu": 8}, [], ["cpu_overcommitted"]),
        ({"cpu": 8.5}, ["cpu_short"], []),
        ({"disk": 20 * GIB}, [], []),
        ({"disk": 20 * GIB + 1}, ["disk_short"], []),
        ({"gpu": 1}, ["gpu_missing"], []),
        (
            {"gpu": 1, "memory": 99 * GIB, "disk": 99 * GIB},
            ["memory_short", "disk_short", "gpu_missing"],
            [],
        ),
    ],
)
def test_what_is_short_is_refused_and_shared_cpu_is_warned_about(change, refusals, warnings):
    found = decide(dataclasses.replace(FITS, **change), NODE)
    assert (codes(found.refusals), codes(found.warnings)) == (refusals, warnings)
    assert found.fits is not bool(refusals)


def test_the_sentence_has_numbers_a_person_reads():
    found = ResourcePolicy().decide(Needs(cpu=2, memory=12 * GIB), NODE)
    assert found.refusals[0].message == "The share asks for 12 GB of memory; lab-3 has 8.8 GB free."


def test_headroom_is_kept_free():
    policy = ResourcePolicy(memory_headroom=GIB, disk_headroom_factor=2.0)
    assert policy.decide(Needs(1, 8 * GIB, disk=10 * GIB), NODE).fits
    assert codes(policy.decide(Needs(1, 8 * GIB + 1), NODE).refusals) == ["memory_short"]
    assert codes(policy.decide(Needs(1, GIB, disk=10 * GIB + 1), NODE).refusals) == ["disk_short"]


def test_what_can_not_be_measured_is_not_held_against_a_share():
    unmeasured = NODE.model_copy(update={"memory_available": None, "disk_available": None})
    assert free_memory(unmeasured) == 22 * GIB
    assert decide(Needs(1, 22 * GIB, disk=10**15), unmeasured).fits


def test_a_node_that_promised_too_much_has_nothing_free_rather_than_less():
    over = NODE.model_copy(
        update={"cpu_requested": 20, "memory_requested": 64 * GIB, "gpu_requested": 3}
    )
    assert (free_cpu(over), free_memory(over), free_gpu(over)) == (0, 0, 0)


def test_an_admin_can_set_it_and_a_wrong_value_is_an_error():
    policy = ResourcePolicy(
        config=Config({"ResourcePolicy": {"bake": "refuse", "default_cpu": 0.5}})
    )
    assert (policy.bake, policy.default_cpu) == ("refuse", 0.5)
    with pytest.raises(TraitError):
        ResourcePolicy(bake="allow")


def test_every_setting_is_documented():
    for name, trait in ResourcePolicy.class_own_traits(config=True).items():
        assert trait.help, name


SIZE = st.integers(0, 2**50)
CPU = st.floats(0, 512, allow_nan=False)
GPU = st.integers(0, 16)
NEEDS = st.builds(Needs, cpu=CPU, memory=SIZE, gpu=GPU, disk=SIZE)
NODES = st.builds(
    NodeCapacity,
    node=st.just("n"),
    cpu=CPU,
    cpu_requested=CPU,
    memory=SIZE,
    memory_requested=SIZE,
    memory_available=st.none() | SIZE,
    disk_available=st.none() | SIZE,
    gpu=GPU,
    gpu_requested=GPU,
)


@given(NEEDS, NODES, SIZE, st.floats(0, 8), SIZE, CPU, GPU)
def test_more_free_never_turns_a_fit_into_a_refusal(needs, node, headroom, factor, more, cpu, gpu):
    def decided(capacity):
        return decide(needs, capacity, memory_headroom=headroom, disk_factor=factor)

    larger = node.model_copy(
        update={
            "cpu": node.cpu + cpu,
            "memory": node.memory + more,
            "memory_available": None
            if node.memory_available is None
            else node.memory_available + more,
            "disk_available": None if node.disk_available is None else node.disk_available + more,
            "gpu": node.gpu + gpu,
        }
    )
    before, after = decided(node), decided(larger)
    assert set(codes(after.refusals)) <= set(codes(before.refusals))
    if not before.warnings and before.fits:
        assert not after.warnings


@given(NEEDS, NODES, NEEDS)
def test_asking_for_less_never_turns_a_fit_into_a_refusal(needs, node, less):
    smaller = Needs(
        *(
            min(a, b)
            for a, b in zip(dataclasses.astuple(needs), dataclasses.astuple(less), strict=True)
        )
    )
    assert set(codes(decide(smaller, node).refusals)) <= set(codes(decide(needs, node).refusals))


@given(NEEDS, NODES)
def test_equal_numbers_give_an_equal_answer(needs, node):
    first, second = decide(needs, node), decide(needs, node)
    assert codes(first.refusals) == codes(second.refusals)
    assert [e.message for e in first.warnings] == [e.message for e in second.warnings]
