"""Errors belong to rooms: everybody who is sent one knows it, and nobody has to load the room for that."""

import subprocess
import sys

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.copying.errors import DiskFull
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


def test_what_never_was_an_error_is_not_found() -> None:
    assert not hasattr(errors, "Nonsense")
