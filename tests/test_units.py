"""Sizes and times in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_secxops_migrate.model import parse_size
from jupyter_secxops_migrate.units import human_duration, human_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (1024, "1 KB"),
        (1536, "1.5 KB"),
        (48 * 1024**2, "48 MB"),
        (int(1.4 * 1024**3), "1.4 GB"),
        (1023 * 1024**2, "1 GB"),
        (2 * 1024**3, "2 GB"),
        (10**18, "888 PB"),
        (10**19, "8882 PB"),
    ],
)
def test_sizes(size, text):
    assert human_size(size) == text


@given(st.integers(1000, 2**60))
def test_a_size_that_is_shown_can_be_typed(size):
    text = human_size(size)
    if "PB" not in text:
        assert parse_size(text) == pytest.approx(size, rel=0.06)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than a second"),
        (1, "1 s"),
        (20.4, "20 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3569, "59 min"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (90000, "25 h"),
    ],
)
def test_durations(seconds, text):
    assert human_duration(seconds) == text
