"""What is learnt from an image, whatever it prints, and how its JupyterLab is started."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from jupyter_secxops_migrate.engines.errors import ImageWithoutJupyter
from jupyter_secxops_migrate.engines.orders import ImageInfo
from jupyter_secxops_migrate.engines.probing import (
    PROBE,
    jupyter_of,
    probe_is_complete,
    probe_of,
    probe_past_entrypoint,
)


def printed(folder: Path, *named: str, path: str = "/usr/bin:/bin") -> str:
    return subprocess.run(
        ["/bin/sh", "-c", PROBE, "secxops", *named],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def program(path: Path, text: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_jupyterlab_is_found_on_the_path_first(tmp_path: Path) -> None:
    there = program(tmp_path / "bin" / "jupyter-lab")
    program(tmp_path / ".local" / "bin" / "jupyter-lab")

    found = probe_of(printed(tmp_path, path=f"{there.parent}:/usr/bin:/bin"))

    assert found.jupyter == [str(there)]
    assert str(found.home) == str(found.workdir) == str(tmp_path)


def test_and_off_the_path_in_the_users_own_place(tmp_path: Path) -> None:
    there = program(tmp_path / ".local" / "bin" / "jupyter-lab")

    assert probe_of(printed(tmp_path)).jupyter == [str(there)]


@pytest.mark.parametrize(("status", "found"), [(0, True), (1, False)])
def test_or_by_the_images_own_command_if_that_works(
    tmp_path: Path, status: int, found: bool
) -> None:
    named = [str(program(tmp_path / "odd" / "jupyter-lab", f"exit {status}"))]

    assert probe_of(printed(tmp_path, *named), named).jupyter == (named if found else None)


@pytest.mark.parametrize(
    ("does", "works"),
    [("echo 4.4.3", True), ('echo "$@"', False), ("exit 1", False)],
)
def test_a_command_that_wraps_jupyterlab_comes_before_the_path(
    tmp_path: Path, does: str, works: bool
) -> None:
    """As `conda run -n lab jupyter lab`: the environment lab would not be active else."""
    on_path = program(tmp_path / "bin" / "jupyter-lab")
    named = [str(program(tmp_path / "conda", does)), "run", "-n", "lab", "jupyter", "lab"]

    found = probe_of(printed(tmp_path, *named, path=f"{on_path.parent}:/usr/bin:/bin"), named)

    assert found.jupyter == (named if works else [str(on_path)])
    assert found.replaced == (not works)


def test_a_plain_jupyter_is_the_one_on_the_path(tmp_path: Path) -> None:
    on_path = program(tmp_path / "bin" / "jupyter-lab", "echo 4.4.3")
    program(tmp_path / "bin" / "jupyter", "echo 4.4.3")
    named = ["jupyter", "lab"]
    found = probe_of(printed(tmp_path, *named, path=f"{on_path.parent}:/usr/bin:/bin"), named)
    assert found.jupyter == [str(on_path)] and not found.replaced


def test_what_a_shell_does_before_jupyterlab_is_done_in_the_copy(tmp_path: Path) -> None:
    """As an image does that activates an environment in its CMD; another JupyterLab is on the PATH."""
    on_path = program(tmp_path / "bin" / "jupyter-lab", "echo 4.4.3")
    program(tmp_path / "lab" / "jupyter-lab", 'echo "4.9.9 $ACTIVE $*"')
    (tmp_path / "activate").write_text(f"PATH={tmp_path}/lab:$PATH; export ACTIVE=yes\n")
    text = f". {tmp_path}/activate && jupyter-lab --ip=0.0.0.0 --NotebookApp.token=''"
    named = jupyter_of(["/bin/sh", "-c", text])

    found = probe_of(printed(tmp_path, *named, path=f"{on_path.parent}:/usr/bin:/bin"), named)

    assert found.jupyter == list(named) and not found.replaced
    said = subprocess.run([*named, "--port=1"], capture_output=True, text=True, check=True).stdout
    assert said == "4.9.9 yes --port=1\n"


def test_what_an_entrypoint_prints_around_it_is_not_taken_for_it(tmp_path: Path) -> None:
    output = f"home sweet home\ncommand me\n{printed(tmp_path)}command again\n"

    assert probe_is_complete(output)
    found = probe_of(output)
    assert found.jupyter is None
    assert str(found.home) == str(tmp_path)


def test_an_entrypoint_that_only_prints_its_arguments_ran_nothing() -> None:
    assert not probe_is_complete(f"/bin/sh -c {PROBE} secxops\n")
    with pytest.raises(ImageWithoutJupyter):
        probe_of(f"/bin/sh -c {PROBE} secxops\n")


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["jupyter", "lab", "--ip=0.0.0.0"], ["jupyter", "lab"]),
        (["jupyter", "notebook"], ["jupyter", "lab"]),
        (["/opt/env/bin/jupyter-lab", "--no-browser"], ["/opt/env/bin/jupyter-lab"]),
        (["start-notebook.py"], ["start-notebook.py"]),
        (["/x/python3.12", "-m", "jupyterlab", "--ip"], ["/x/python3.12", "-m", "jupyterlab"]),
        (
            ["conda", "run", "-n", "lab", "jupyter", "lab"],
            ["conda", "run", "-n", "lab", "jupyter", "lab"],
        ),
        (["/bin/sh", "-c", "exec /opt/b/jupyter lab --ip 'a b'"], ["/opt/b/jupyter", "lab"]),
        (
            ["sh", "-c", "exec conda run -n 'a b' jupyter lab --port=$PORT"],
            ["conda", "run", "-n", "a b", "jupyter", "lab"],
        ),
        (
            ["bash", "-lc", 'eval "$(conda shell.bash hook)"; conda activate lab && jupyter lab'],
            [
                "bash",
                "-lc",
                'eval "$(conda shell.bash hook)"; conda activate lab && exec jupyter lab "$@"',
                "secxops",
            ],
        ),
        (["/bin/sh", "-c", "$(which jupyter) lab"], []),
        (["/bin/sh", "-c", "$J/jupyter lab"], []),
        (["/bin/sh", "-c", "(cd /x && jupyter lab)"], []),
        (["/bin/sh", "-c", "jupyter lab | tee log"], []),
        (["/bin/sh", "-c", "jupyter lab; echo done"], []),
        (["/bin/sh", "-c", "jupyter lab 'unclosed"], []),
        (["python3"], []),
        (["tini", "--"], []),
        ([], []),
    ],
)
def test_an_images_command_says_how_it_starts(words: Sequence[str], start: Sequence[str]) -> None:
    assert list(jupyter_of(words)) == start


@pytest.mark.parametrize(
    "said",
    ["", "hello", "42 ", "42 me", "42 1", "42 1 2 3", "42 -1 0", f"42 {'9' * 5000} 1"],
)
def test_what_answers_with_something_else_has_no_jupyterlab(said: str) -> None:
    with pytest.raises(ImageWithoutJupyter):
        probe_of(f"secxops-{said}")


@pytest.mark.parametrize(
    ("entrypoint", "said", "use"),
    [
        ([], "command /usr/bin/jupyter-lab", "none"),
        (["/usr/bin/jupyter", "lab"], "command /usr/bin/jupyter-lab", "jupyter"),
        (["/set-up", "jupyter", "lab"], "command /usr/bin/jupyter-lab", "bypassed"),
        (["/set-up", "jupyter", "lab"], "named yes", "jupyter"),
        (["start-notebook.sh"], "command /usr/bin/jupyter-lab", "bypassed"),
        (["/serve"], "command /usr/bin/jupyter-lab", "bypassed"),
    ],
)
def test_what_an_entrypoint_does_before_jupyterlab_is_not_said_to_be_done(
    entrypoint: Sequence[str], said: str, use: str
) -> None:
    output = f"secxops-42 1000 100\n{said}\nsecxops-43 end\n"
    found = probe_past_entrypoint(output, ImageInfo("sha256:1", 0, entrypoint=entrypoint))
    assert found.entrypoint == use
