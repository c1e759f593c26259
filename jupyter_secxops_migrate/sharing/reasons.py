"""What a plan says besides refusals and errors: each code with its sentence and hint, in this one place.

Refusals and the warnings that have an error of their own come from `errors`. Which of them holds is
judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import errors
from ..model import Finding

__all__ = ["REASONS", "reason"]

REASONS: Mapping[str, tuple[str, str] | tuple[str, str, str]] = {
    "stays_here": (
        "Here, on node {node}: {cpu:CPU|CPUs} and {memory} of memory are free.",
        "",
    ),
    "fits_here": (
        "Here, on node {node}: {cpu:CPU|CPUs} and {memory} of memory are free.",
        "",
    ),
    "here_unseen": ("Here, on node {node}, if the scheduler agrees: its room can't be seen.", ""),
    "gpu_asked": ("It asks for a GPU, so the scheduler chooses the node.", ""),
    "node_short": ("It does not fit on node {node}: {lacks}.", ""),
    "node_gone": ("The source's node, {node}, is no longer there.", ""),
    "stay_failed": ("The scheduler no longer found room for it on node {node}.", ""),
    "moves": (
        "It moves: it fits on {fitting} of {total:node|nodes}, and the strategy {strategy} will probably put "
        "it on {forecast}.",
        "",
    ),
    "moves_unseen": (
        "It moves to a node that the scheduler chooses by the strategy {strategy}.",
        "",
    ),
    "image_pushed": ("Its image will be pushed to {registry}.", ""),
    "image_kept": ("Its image stays on node {node} and is not pushed.", ""),
    "unseen": (
        "This account may not see {what} of the cluster, so the scheduler decides.",
        "An admin can allow it (ClusterRole secxops-placement in the operators' guide).",
    ),
    "storage_unseen": (
        "This account may not see {what}, so whether the copies get their storage shows only when they are made.",
        "An admin can allow it (Role secxops and ClusterRole secxops-placement in the operators' guide).",
    ),
    "from_outside": ("The source is {source}, seen from outside.", ""),
    "version_asked": ("The files of version {version} ({commit}) are shared.", ""),
    "version_as_is": ("The files are shared as they are now ({label}).", ""),
    "defaults_used": (
        "{cpu:CPU|CPUs} and {memory} of memory (the defaults).",
        "Choose others with --cpu and --memory.",
        "",
    ),
    "shares_no_data": (
        "Shares no data.",
        "Take data along with --data FOLDER.",
        "Tick the data to take along.",
    ),
    "estimate": ("It will take about {duration}, most of it the first build.", ""),
    "estimate_measured": (
        "It will take about {duration}, as earlier shares of this project did.",
        "",
    ),
    "remote_add": (
        "Line {line} of the Dockerfile downloads {url} at build time; the copy's proof does not cover it.",
        "Put the file into the project, or fetch it in RUN with its checksum.",
    ),
    "data_moves": (
        "{source} lies inside the project and will be at {mount}.",
        "Code that looks for it in the project will not find it there.",
    ),
    "links_dangle": (
        "Links in {folder} will lead nowhere in the copy ({count}): {first} points to {target}.",
        "Take along what they point to: {take}",
        "",
    ),
    "links_leave_data": (
        "Links in {folder} point out of it and will lead nowhere in the copy ({count}): {first} points to "
        "{target}.",
        "Take the folder that holds both instead: --data {around}",
        "Take the folder that holds both instead: {around}",
    ),
    "owners_given": (
        "In {folder}, files of other accounts ({count}, such as {first}) will belong to the copy's user.",
        "Leave them to their owners with --keep-owners.",
        "",
    ),
    "owners_kept": (
        "In {folder}, the copy's user may not read or save files of other accounts ({count}), such as {first}.",
        "Share without --keep-owners to give everything to the copy's user.",
        'Untick "Leave files of other accounts to their owners" to give everything to the copy\'s user.',
    ),
    "base_not_here": (
        "The image {image}, which the Dockerfile starts FROM, is not on {node} yet and will be pulled.",
        "",
    ),
    "mount_inside": (
        "{path} is a mount of its own inside {folder}: what lies there is not copied.",
        "Take it along with --data {path}.",
        "Add it as data to take it along.",
    ),
    "lfs_missing": (
        "Git LFS content is not here for {count} of this version's files: only pointers are copied.",
        "Run `git lfs fetch` for this version, and plan again.",
    ),
    "submodule_missing": (
        "{count} of this version's submodules can't be found here and will be empty.",
        "Run `git submodule update --init --recursive` with this version checked out, and plan again.",
    ),
    "filters_not_applied": (
        "{count} of this version's files, such as {first}, are copied as git stores them: their filter, encoding"
        " or line ends (.gitattributes) are not applied.",
        "Set the filter up in the copy and check these files out again, or share the files as they are.",
    ),
    "git_elsewhere": (
        "Git will not work in the copy of these folders ({count}, such as {first}): their .git only points"
        " elsewhere (a linked worktree, a submodule, a link).",
        "Share the main work tree, or a clone of it, if the copy should have the history.",
    ),
    "git_alternates": (
        "Git will not work in the copy of these repositories ({count}, such as {first}): they borrow objects"
        " from elsewhere (clones with --shared or --reference), which are not copied.",
        "Make each independent: `git repack -a -d`, then remove its .git/objects/info/alternates.",
    ),
    "git_unread": (
        "The project's git repository can't be read here (SHA-256, a newer format, or settings that"
        " open other files): it is copied, but its commit and changes are not known.",
        "",
    ),
    "changes_unknown": (
        "Which files were changed since the commit is not known: git's index is split or sparse, which"
        " can't be read here.",
        "Run `git update-index --no-split-index`, or `git sparse-checkout reapply --no-sparse-index`.",
    ),
    "venv_inside": (
        "{first} holds an environment of Python or conda, whose programs know it by its path here: they"
        " will not run at another path.",
        "Install its packages in the Dockerfile, and keep it out of the project.",
    ),
    "paths_inside": (
        "Runs of MLflow name their results by their path here ({count}, such as {first}): they will not be found at"
        " another path.",
        "Have the folder at the same path in the copy (--mount {source}={source}), or track runs on a server.",
    ),
    "database_in_use": (
        "A program seems to be writing to databases here ({count}, such as {first}): their files are copied one after"
        " the other, so the copy of one may not open, or may lack what was written last.",
        "Stop that program first, or share a dump of the database.",
    ),
    "build_needs_git": (
        "{file} asks for {tool}, which takes the version from .git; the build is not sent .git.",
        "Give the version in the Dockerfile, for instance with ENV SETUPTOOLS_SCM_PRETEND_VERSION=1.0.",
    ),
    "credentials_left_out": (
        "Left out because they may hold credentials: {count}, for example {first}.",
        "Take a file along all the same with --keep PATH.",
        "Take a file along all the same with Keep.",
    ),
    "credentials_kept": (
        "Copied as you asked, although they may hold credentials: {count}, for example {first}.",
        "",
    ),
    "keep_unused": (
        "You asked to keep {path}, but that changes nothing: there is no such path in what is shared, nothing there"
        " would be left out, or it can never be copied.",
        "Give an absolute path, or one from the project's folder.",
    ),
    "image_needs_left_out": (
        "Line {line} of the Dockerfile copies {path}, which may hold credentials and is left out.",
        "Remove the line, or take the file along with --keep {path}: it will be in the image then.",
        "Remove the line, or keep the file: it will be in the image then.",
    ),
    "unsaved_documents": (
        "Open documents have unsaved changes ({count}, such as {first}): what is not saved is not copied.",
        "Save them first.",
        "",
    ),
    "whole_home": (
        "{path} is a whole home folder; everything in it but credentials would be copied.",
        "Share the project's own folder instead.",
    ),
}
"""Code to sentence and hint, and the hint where people click if it is another (`errors.clicked`); clients translate
by code."""


def reason(code: str, **params: Any) -> Finding:
    """Return a reason from the table, its sentence filled in."""
    text, hint, *_ = REASONS[code]
    return Finding(
        code=code, message=errors.fill(text, params), hint=errors.fill(hint, params), params=params
    )
