"""Errors belong to rooms: everybody who is sent one knows it, and nobody has to load the room for that."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.copying.errors import DiskFull
from jupyter_secxops_migrate.engines.docker import tools
from jupyter_secxops_migrate.engines.kubernetes.errors import QuotaExceeded


def test_a_client_that_imports_no_room_knows_every_error() -> None:
    code = (
        "import sys\n"
        "from jupyter_secxops_migrate.errors import SecxopsError\n"
        "sent = {'code': 'quota_exceeded', 'message': 'No room.', 'hint': 'Ask.', 'params': {}}\n"
        "print(type(SecxopsError.from_dict(sent)).__name__)\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "heavy = {'dbos', 'sqlalchemy', 'docker', 'kubernetes', 'pydantic', 'tornado', 'httpx'}\n"
        "print(sorted(loaded & heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["QuotaExceeded", "[]"]


@pytest.mark.parametrize("moved", [DiskFull, QuotaExceeded])
def test_an_error_that_moved_is_found_at_its_old_place_for_one_more_release(
    moved: type[errors.SecxopsError],
) -> None:
    with pytest.warns(DeprecationWarning, match=f"{moved.__module__}.{moved.__name__} now"):
        assert getattr(errors, moved.__name__) is moved


def test_the_copy_runs_where_its_image_has_no_other_room(tmp_path: Path) -> None:
    for name, body in tools._sources():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_text("x")
    copy = [sys.executable, "-m", "jupyter_secxops_migrate.copying"]
    what = [tmp_path / "source", tmp_path / "copy", "--manifest", tmp_path / "manifest"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([*copy, *what], cwd=tmp_path, env=env, timeout=60, check=True)
    assert (tmp_path / "copy" / "a").read_text() == "x"


def test_what_never_was_an_error_is_not_found() -> None:
    assert not hasattr(errors, "Nonsense")


def test_an_error_of_a_class_that_was_defined_since_is_known_too() -> None:
    sent = {"code": "defined_since", "message": "m", "hint": "h", "params": {}}
    assert type(errors.SecxopsError.from_dict(sent)) is errors.SecxopsError
    kinds = errors.SecxopsError._by_code
    errors.SecxopsError.from_dict(sent)
    assert errors.SecxopsError._by_code is kinds  # made once

    late = type("DefinedSince", (errors.SecxopsError,), {"code": "defined_since"})
    try:
        assert type(errors.SecxopsError.from_dict(sent)) is late
    finally:
        # No other test is to find a class that no documentation has.
        errors.SecxopsError._by_code = None
        del late
        gc.collect()
