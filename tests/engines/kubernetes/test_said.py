"""What commands in Jobs' containers print is taken with care: whoever is in there may print anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.kubernetes.said import Stream


async def printed(pieces: Sequence[bytes], end: Exception | None) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        yield piece
    if end is not None:
        raise end


def taken(
    folder: Path, *pieces: bytes, lines: int = 0, end: Exception | None = None
) -> tuple[list[str], bool]:
    """The lines before two files that are taken, and whether the command then ended well."""

    async def go() -> tuple[list[str], bool]:
        stream, said = Stream("pod", printed(pieces, end)), []
        while len(said) < lines:
            said += [line async for line in _first(stream)]
        await stream.files({"a": folder / "a", "b": folder / "b"})
        return said, stream.ended_well

    return asyncio.run(go())


async def _first(stream: Stream) -> AsyncGenerator[str, None]:
    async for line in stream.lines():
        yield line
        return


def test_files_follow_lines_in_any_pieces(tmp_path: Path) -> None:
    whole = b"one\ntwo\n5\n\nab\n\n3\nxyz"
    for size in (1, 4, 100):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert taken(tmp_path, *pieces, lines=2) == (["one", "two"], True)
        assert (tmp_path / "a").read_bytes() == b"\nab\n\n"
        assert (tmp_path / "b").read_bytes() == b"xyz"


def test_an_end_that_went_wrong_after_all_has_come_is_told_and_no_error(tmp_path: Path) -> None:
    broke = errors.EngineFailed(action="run it", reason="the connection broke")
    assert taken(tmp_path, b"0\n0\n", end=broke) == ([], False)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "ended early"),
        (b"3\nab", "ended early"),
        (b"2\nab", "ended early"),
        (b"2\nab1", "ended early"),
        (b"-1\n", "no size"),
        (b"Traceback (most recent call last):\n", "no size"),
    ],
)
def test_what_comes_short_or_is_no_file_replaces_nothing(
    tmp_path: Path, said: bytes, reason: str
) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(errors.EngineFailed, match=reason):
        taken(tmp_path, said)
    assert (tmp_path / "a").read_bytes() == b"before"
