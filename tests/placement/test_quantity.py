"""Kubernetes quantities: exact integers, rounded up, nothing below zero."""

import contextlib
from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_secxops_migrate.placement.quantity import (
    LARGEST,
    format_bytes,
    format_milli,
    milli,
    whole,
)

AMOUNTS = st.integers(0, LARGEST)


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        ("100m", 100),
        ("1.5", 1500),
        ("0.1", 100),
        ("2", 2000),
        ("1e3", 10**6),
        ("1E3", 10**6),
        ("1e-2", 10),
        ("5E", 5 * 10**21),
        ("12Ki", 12 * 1024 * 1000),
        ("1.5Gi", 3 * 2**29 * 1000),
        ("0.1Ki", 102400),
        ("100M", 10**11),
        (".5", 500),
        ("5.", 5000),
        ("+7", 7000),
        ("1u", 1),
        ("1n", 1),
        ("1.0001", 1001),
        ("-0", 0),
        (4, 4000),
        (0.5, 500),
        ("1e400", LARGEST * 1000),
        ("9999999999Ei", LARGEST * 1000),
        ("1e-400", 1),
        ("0e999999999999", 0),
    ],
)
def test_reads_what_kubernetes_reads(text: str, thousandths: int) -> None:
    assert milli(text) == thousandths


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "-1m",
        ".",
        "1 Gi",
        "1gi",
        "1K",
        "Gi",
        "1e",
        "1e1.5",
        "0x10",
        "1_000",
        "NaN",
        "inf",
        "١",
        "1\n",
        "1" * 101,
        True,
        float("nan"),
        "--1",
        "1e5Gi",
    ],
)
def test_refuses_what_is_none(text: object) -> None:
    with pytest.raises(ValueError):
        milli(text)  # type: ignore[arg-type]


def test_whole_units_are_rounded_up() -> None:
    assert [whole(text) for text in ("1", "1.001", "999m", "1m", "0")] == [1, 2, 1, 1, 0]


@given(AMOUNTS)
def test_what_is_written_reads_back_the_same(amount: int) -> None:
    assert milli(format_milli(amount)) == amount
    assert whole(format_bytes(amount)) == amount
    assert milli(str(amount)) == amount * 1000


@given(st.integers(0, 10**9), st.integers(0, 9), st.sampled_from(["", "m", "k", "M", "Ki", "Gi"]))
def test_agrees_with_decimal_arithmetic(digits: int, places: int, suffix: str) -> None:
    number = Decimal(digits).scaleb(-places)
    unit = {"": 1, "m": Decimal("0.001"), "k": 1000, "M": 10**6, "Ki": 1024, "Gi": 2**30}[suffix]
    wanted = (number * unit * 1000).to_integral_value(ROUND_CEILING)
    assert milli(f"{number:f}{suffix}") == wanted


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert milli(text) >= 0


def test_formats_nothing_below_zero() -> None:
    for form in (format_milli, format_bytes):
        with pytest.raises(ValueError):
            form(-1)


def test_writes_the_shortest_that_loses_nothing() -> None:
    assert [format_milli(each) for each in (0, 1500, 2000)] == ["0", "1500m", "2"]
    assert [format_bytes(each) for each in (0, 1000, 1024, 3 * 2**29)] == [
        "0",
        "1000",
        "1Ki",
        "1536Mi",
    ]
