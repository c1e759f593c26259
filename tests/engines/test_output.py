"""Floods cost neither memory nor time, and the log says that something is missing."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.building.errors import BaseImageMissing, BaseTriggerFailed, BuildFailed
from jupyter_secxops_migrate.copying.errors import DiskFull
from jupyter_secxops_migrate.engines.buildkit import BuildKitOutput, Vertex
from jupyter_secxops_migrate.engines.docker.build import BuildOutput
from jupyter_secxops_migrate.engines.orders import BuildOrder, LogLine, Measure, Progress
from jupyter_secxops_migrate.engines.output import LONGEST_LINE, Lines, Output

MIB = 1024 * 1024
ORDER = BuildOrder("m1", lambda: iter(()), "Dockerfile", "r", "1", lambda: "", {}, lines=[1, 2])


def flood(size: int, piece: bytes) -> Iterator[bytes]:
    """As a builder passes output on: in pieces of at most 32 KB."""
    piece = piece * (32 * 1024 // len(piece))
    for _ in range(size // len(piece)):
        yield piece


def bounded(work: Callable[[], Iterable[Any]], seconds: float) -> list[Any]:
    """Run within a time of the processor, and 20 MiB of memory."""
    began = time.process_time()
    found = list(work())
    took = time.process_time() - began
    tracemalloc.start()
    try:
        for _ in work():
            pass
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()
    assert took < seconds
    return found


def cut(chunks: Iterable[bytes], into: Lines | Output) -> Iterator[str]:
    for chunk in chunks:
        yield from into.feed(chunk)
    yield from into.rest()


def test_lines_are_cut_wherever_chunks_end() -> None:
    chunks = [b"a\nb", b"", b"c\n", b"\n", "ä".encode()[:1], "ä".encode()[1:]]

    assert list(cut(chunks, Lines())) == ["a", "bc", "", "ä"]


def test_one_line_of_60_mb_is_cut_at_once() -> None:
    found = bounded(lambda: cut(flood(60 * MIB, b"x"), Lines()), 2)

    assert found == [f"{'x' * LONGEST_LINE}… ({60 * MIB - LONGEST_LINE:,} more bytes)"]


def test_of_200_mb_of_short_lines_the_first_and_the_last_are_kept() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first\n"
        yield from flood(200 * MIB, b"line\n")
        yield b"last\n"

    found = bounded(lambda: cut(chunks(), Output()), 5)

    assert (found[0], found[-1]) == ("first", "last")
    assert any("long output" in line for line in found)
    assert any("bytes left out" in line for line in found)
    assert len(found) < 300_000


def test_a_short_output_is_whole() -> None:
    assert list(cut([b"10%\r20%\r\nok", b"!\n"], Output())) == ["10%", "20%", "", "ok!"]


# Two stages, the second with a comment and a line that goes on; Podman 4.3.1 leaves the first one out.
STAGES = replace(ORDER, lines=[1, 2, 4, 6, 8], froms=[1, 4])


class TestClassicBuilder:
    def read(
        self, messages: Iterable[Mapping[str, Any]], order: BuildOrder = ORDER
    ) -> Iterator[Progress]:
        output = BuildOutput(order)
        for message in messages:
            yield from output.read(message)
        yield from output.rest()

    @pytest.mark.parametrize("piece", [b"x", b"short\n"])
    def test_still_tells_the_steps_after_a_flood(self, piece: bytes) -> None:
        def messages() -> Iterator[Mapping[str, Any]]:
            yield {"stream": "Step 1/2 : RUN flood\n"}
            for chunk in flood(60 * MIB, piece):
                yield {"stream": chunk.decode()}
            yield {"stream": "\nthe end of it\n"}
            yield {"stream": "Step 2/2 : RUN true\n"}
            yield {"stream": "Successfully built 0123456789ab\n"}

        found = bounded(lambda: self.read(messages()), 5)

        told = [item.message for item in found if isinstance(item, Measure)]
        log = [item.text for item in found if isinstance(item, LogLine)]
        assert told == ["step 1/2 RUN flood", "step 2/2 RUN true"]
        assert log.index("the end of it") < log.index("Step 2/2 : RUN true")

    def test_says_that_the_disk_was_full_behind_a_flood(self) -> None:
        def messages() -> Iterator[Mapping[str, Any]]:
            yield {"stream": "Step 1/2 : RUN flood\n"}
            for chunk in flood(4 * MIB, b"short\n"):
                yield {"stream": chunk.decode()}
            yield {"stream": "cp: No space left on device\n"}
            yield {"error": "it ended with status 1"}

        with pytest.raises(DiskFull):
            list(self.read(messages()))

    def test_podmans_steps_are_told(self) -> None:
        said = ["STEP 1/2: FROM a", "STEP 2/2: RUN echo x", "x", "--> 5ba54bc3dc1"]

        found = list(self.read({"stream": f"{line}\n"} for line in said))

        told = [(item.done, item.total) for item in found if isinstance(item, Measure)]
        assert told == [(0, 2), (1, 2)]

    @pytest.mark.parametrize(
        ("steps", "line"),
        [
            (["[1/2] STEP 1/2: FROM a AS b", "[1/2] STEP 2/2: RUN false"], 2),
            (["[2/2] STEP 1/3: FROM a", "[2/2] STEP 2/3: RUN x", "[2/2] STEP 3/3: RUN false"], 8),
            (["[9/9] STEP 1/1: RUN false"], 1),
        ],
    )
    def test_podman_fails_at_a_line(self, steps: list[str], line: int) -> None:
        messages: list[Mapping[str, Any]] = [{"stream": f"{step}\n"} for step in steps]
        messages.append({"error": 'building at STEP "RUN false": exit status 1\n'})

        with pytest.raises(BuildFailed) as failed:
            list(self.read(messages, STAGES))

        assert failed.value.params["line"] == line
        assert failed.value.params["instruction"] == "RUN false"

    def test_podman_names_a_base_image_that_is_not_there(self) -> None:
        messages = [
            {"stream": "STEP 1/2: FROM none.invalid/a:1\n"},
            {"error": "creating build container: initializing source docker://none.invalid/a:1"},
        ]
        with pytest.raises(BaseImageMissing) as failed:
            list(self.read(messages))

        assert failed.value.params["image"] == "none.invalid/a:1"


def test_buildkits_output_is_cut_as_well() -> None:
    def read() -> Iterator[Progress]:
        output = BuildKitOutput(ORDER)
        for chunk in flood(60 * MIB, b"x"):
            yield from output.output(b"1", chunk)
        yield from output.rest()

    lines = [item.text for item in bounded(read, 3) if isinstance(item, LogLine)]

    assert len(lines) < 100
    assert all(len(line) < 2 * LONGEST_LINE for line in lines)


def test_an_errors_words_are_cut() -> None:
    error = BuildFailed("x" * 10**7, line=1, instruction="y" * 10**7, id="m1")

    assert len(error.message) < 20_000
    assert len(str(error.as_dict())) < 40_000


def test_a_line_of_the_base_image_is_not_blamed_on_the_project() -> None:
    """The classic builder runs what a base image brings along as a part of FROM."""
    output = BuildOutput(ORDER)
    for text in (
        "Step 1/2 : FROM lab",
        "\n",
        "# Executing 1 build trigger",
        "\n",
        " ---> Running\n",
    ):
        list(output.read({"stream": text}))
    with pytest.raises(BaseTriggerFailed) as failed:
        list(output.read({"error": "The command '/bin/sh -c false' returned a non-zero code: 1"}))
    assert failed.value.params["image"] == "lab"
    assert "/bin/sh -c false" in failed.value.message

    output = BuildOutput(ORDER)
    list(output.read({"stream": "Step 1/2 : FROM lab"}))
    with pytest.raises(BaseImageMissing):
        list(output.read({"error": "no such image"}))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("[2/2] RUN echo  no && false", BaseTriggerFailed),
        ("[2/2] RUN true", BuildFailed),
    ],
)
def test_buildkit_shows_a_line_of_the_base_image_like_the_projects(
    name: str, error: type[errors.SecxopsError]
) -> None:
    output = BuildKitOutput(ORDER)
    output.brings("lab", ["RUN echo no && false"])
    list(output.vertex(b"1", Vertex(name, started=True, error="exit code: 1")))
    assert type(output.failure("exit code: 1")) is error


DOCKERFILE = rb"""ARG VERSION=1
FROM lab:$VERSION
RUN set -e; \
    true
RUN "pip" install "a==$VERSION"
COPY ${WHAT} /x
COPY --chmod=755 <<EOF /y
text
EOF
RUN apt-get $OPTIONS update
RUN apt-get install
ONBUILD RUN later
"""


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        # As BuildKit shows such steps: joined, with the values of variables, with and without quotes.
        ("[stage-0 2/9] RUN set -e;     true", "build_failed", 3),
        ('[stage-0 3/9] RUN "pip" install "a==1"', "build_failed", 5),
        ("[stage-0 3/9] RUN pip install a==1", "build_failed", 5),
        ("[stage-0 4/9] COPY data /x", "build_failed", 6),
        ("[5/9] COPY --chmod=755 <<EOF /y", "build_failed", 7),
        ("[6/9] RUN apt-get -q update", "build_failed", 10),
        ("[7/9] RUN apt-get install", "build_failed", 11),
        ("[last 2/2] RUN later", "build_failed", 12),
        ("[stage-0 2/9] RUN pip install -r requirements.txt", "base_trigger_failed", None),
        ("[2/9] ADD requirements.txt /tmp/", "base_trigger_failed", None),
        ("[1/9] FROM docker.io/library/lab:1", "build_failed", 1),
        ("exporting to image", "build_failed", 1),
    ],
)
def test_a_step_that_is_no_line_of_the_dockerfile_is_the_bases(
    name: str, code: str, line: int | None
) -> None:
    order = replace(ORDER, text=DOCKERFILE, lines=[1, 2, 3, 5, 6, 7, 10, 11], bases=["lab:1"])
    output = BuildKitOutput(order)
    list(output.vertex(b"1", Vertex(name, started=True, error="exit code: 1")))

    failed = output.failure("exit code: 1")

    assert (failed.code, failed.params.get("line")) == (code, line)
    if line is None:
        assert failed.params["image"] == "lab:1"
