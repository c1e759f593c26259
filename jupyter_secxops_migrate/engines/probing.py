"""What is run in an image to learn its user, its folders and its JupyterLab, and how that is read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from .errors import ImageWithoutJupyter
from .orders import EntrypointUse, ImageInfo, ImageProbe

ENTRYPOINT_SECONDS = 20.0
"""How long an image's entrypoint may take until it runs what it was given."""
PROBE_BYTES = 64 * 1024
"""How much of an image's output is read for what `PROBE` prints."""
# A shell's text: all but its last command, and that, which has nothing in it that only a shell can read.
_SHELL = re.compile(r"(?P<before>(?:.*(?:&&|;|\n))?\s*)(?P<last>[^&;|<>`()\n]+)", re.DOTALL)
_STARTS = re.compile(r"jupyter|start-notebook")
"""Programs that are JupyterLab, or start the first one on the ``PATH``."""
_BEGIN = "secxops-42 "
_END = "secxops-43 end"
# Where images keep JupyterLab that put it on no PATH: conda's, docker-stacks', repo2docker's.
_PLACES = '"" /opt/conda/bin/ /srv/conda/envs/notebook/bin/ /opt/venv/bin/ "$HOME/.local/bin/"'
PROBE = (
    # Computed, so that an entrypoint which only prints its arguments prints something else.
    'echo "secxops-$((6*7)) $(id -u) $(id -g)"; echo "home $HOME"; echo "workdir $(pwd)"; f=; '
    f"for c in jupyter-lab jupyter; do for d in {_PLACES}; do "
    'p=$(command -v "$d$c") && f=1 && echo "command $p"; done; done; '
    'if [ -z "$f" ]; then [ $# -gt 0 ] && "$@" --version >/dev/null 2>&1 && echo "named yes"; else '
    # That command may start another than the first on the PATH: conda's, of an environment that it names.
    'case "$1" in ""|jupyter|jupyter-*|*start-notebook*) ;; *) t=$(command -v timeout) && '
    'case "$("$t" 10 "$@" --version 2>/dev/null)" in *[0-9].[0-9]*) echo "named yes";; esac;; esac; fi; '
    'echo "secxops-$((6*7+1)) end"; exit 0'
)
"""What a shell of the image runs for `ImageProbe`. Fixed text; nothing of a project is put into it.

Its arguments are the command by which the image's own configuration starts JupyterLab.
"""


def probe_is_complete(output: str) -> bool:
    """Whether all is there that `PROBE` prints."""
    begin = output.find(_BEGIN)
    return begin >= 0 and _END in output[begin:]


def probe_of(
    output: str, named: Sequence[str] = (), entrypoint: EntrypointUse = "none"
) -> ImageProbe:
    """Read what `PROBE` printed; ``named`` were its arguments.

    Raises
    ------
    ImageWithoutJupyter
        It did not: there is no shell in the image, or something else answers in its place, so no
        JupyterLab that we could start either.
    """
    ids, *rows = output.rpartition(_BEGIN)[2].partition(_END)[0].splitlines() or [""]
    user = re.fullmatch(r"([0-9]{1,10}) ([0-9]{1,10})", ids)
    if _BEGIN not in output or user is None:
        raise ImageWithoutJupyter()
    uid, gid = user.groups()
    said = dict(line.split(" ", 1) for line in reversed(rows) if " " in line)
    command = said.get("command")
    jupyter: list[str] | None = None
    replaced = False
    if named and "named" in said:
        jupyter = list(named)
    elif command:
        jupyter = [command] if command.endswith("jupyter-lab") else [command, "lab"]
        replaced = bool(named) and not _STARTS.match(PurePosixPath(named[0]).name)
    return ImageProbe(
        int(uid),
        int(gid),
        PurePosixPath(said.get("home", "/")),
        PurePosixPath(said.get("workdir", "/")),
        jupyter,
        entrypoint,
        replaced,
    )


def probe_past_entrypoint(output: str, image: ImageInfo) -> ImageProbe:
    """Read what `PROBE` printed where it was not given to the image's own entrypoint, if it has one.

    Raises
    ------
    ImageWithoutJupyter
        As `probe_of`.
    """
    own = jupyter_of(image.entrypoint)
    use: EntrypointUse = "bypassed" if image.entrypoint else "none"
    found = probe_of(output, own or jupyter_of(image.command), use)
    # What an entrypoint does before it starts JupyterLab is done only where it is started by it.
    if own and (found.jupyter == list(own) or PurePosixPath(own[0]).name.startswith("jupyter")):
        return replace(found, entrypoint="jupyter")
    return found


def probe_words(named: Sequence[str]) -> list[str]:
    """Return what an image is told to run for `ImageProbe`; ``named`` starts its JupyterLab, if anything does."""
    return ["/bin/sh", "-c", PROBE, "secxops", *named]


def folder_options(root: str | PurePosixPath) -> list[str]:
    """Return the options with which JupyterLab shows a folder, whatever the image's own configuration shows.

    Of a setting of its contents manager ``root_dir`` of the server changes nothing; and with a preferred folder
    that lies elsewhere it does not start.
    """
    return [
        f"--FileContentsManager.root_dir={root}",
        "--FileContentsManager.preferred_dir=",
        f"--ServerApp.root_dir={root}",
    ]


def jupyter_of(words: Sequence[str]) -> Sequence[str]:
    """Return the part of an image's command that starts JupyterLab; empty where it does something else.

    ``words`` are those of its ``CMD``, or its ``ENTRYPOINT``: ``conda run -n lab jupyter lab --ip=…``. Of a
    shell's text, the last command has to be it; what stands before it, such as ``conda activate lab &&``, is kept.
    """
    if len(words) == 3 and words[1] in ("-c", "-lc"):
        found = _SHELL.fullmatch(words[2])
        try:
            last = jupyter_of(shlex.split(found["last"])) if found else ()
        except ValueError:
            return ()
        if not found or any("$" in word for word in last):
            return ()
        if not last or not found["before"].strip():
            return last
        # Its options become ours; a shell that was not replaced would keep signals from it.
        text = f'{found["before"]}exec {shlex.join(last)} "$@"'
        return [*words[:2], text, "secxops"]
    if words and words[0] == "exec":
        words = words[1:]
    for number, word in enumerate(words):
        name = PurePosixPath(word).name
        after = words[number + 1 : number + 3]
        if name in ("jupyter-lab", "jupyter-labhub", "start-notebook.py", "start-notebook.sh"):
            return words[: number + 1]
        if name == "jupyter" and after:
            return [*words[: number + 1], "lab"]
        if name.startswith("python") and after == ["-m", "jupyterlab"]:
            return words[: number + 3]
    return ()
