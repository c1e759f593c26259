"""What never leaves its owner's hands: credentials, start-up files, history, running state.

One table, with the reason that people are shown. It knows names only and opens nothing, apart from
`reason_by_content`, which is handed the content of the few files that are harmless in one project
and hold a token in the next. It does not look for secrets in notebooks or sources.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

__all__ = ["CONTENT", "NEVER", "Rule", "reason_by_content", "reason_for_last"]

KEYS = "keys of its owner"
CLOUD = "cloud credentials"
REGISTRY = "registry credentials"
PASSWORDS = "stored passwords"
TOKENS = "access tokens"
STARTUP = "would run by itself when Jupyter starts"
SIGNING = "a secret of its owner's Jupyter"
HISTORY = "history of commands"
RUNTIME = "belongs to a running Jupyter"
INTERRUPTED = "left by an interrupted copy"


class Rule(NamedTuple):
    """``path`` names the last components of a path, at any depth; ``*`` stands for any characters."""

    path: str
    reason: str


NEVER: tuple[Rule, ...] = (
    Rule(".ssh", KEYS),
    Rule(".gnupg", KEYS),
    Rule(".pki", KEYS),
    Rule(".password-store", PASSWORDS),
    Rule(".local/share/keyrings", PASSWORDS),
    Rule(".aws", CLOUD),
    Rule(".azure", CLOUD),
    Rule(".config/gcloud", CLOUD),
    Rule(".kube", CLOUD),
    Rule(".oci", CLOUD),
    Rule(".aliyun", CLOUD),
    Rule(".tccli", CLOUD),
    Rule(".boto", CLOUD),
    Rule(".s3cfg", CLOUD),
    Rule(".mc/config.json", CLOUD),
    Rule(".config/rclone", CLOUD),
    Rule(".rclone.conf", CLOUD),
    Rule(".databrickscfg", CLOUD),
    Rule(".snowflake", CLOUD),
    Rule(".snowsql", CLOUD),
    Rule(".terraform.d/credentials.tfrc.json", CLOUD),
    Rule(".terraformrc", CLOUD),
    Rule(".vault-token", CLOUD),
    Rule(".docker/config.json", REGISTRY),
    Rule(".docker/contexts", REGISTRY),
    Rule(".docker/trust", REGISTRY),
    Rule(".dockercfg", REGISTRY),
    Rule(".config/containers/auth.json", REGISTRY),
    Rule(".pypirc", REGISTRY),
    Rule(".gem/credentials", REGISTRY),
    Rule(".cargo/credentials", REGISTRY),
    Rule(".cargo/credentials.toml", REGISTRY),
    Rule(".m2/settings.xml", REGISTRY),
    Rule(".m2/settings-security.xml", REGISTRY),
    Rule(".netrc", PASSWORDS),
    Rule("_netrc", PASSWORDS),
    Rule(".pgpass", PASSWORDS),
    Rule(".my.cnf", PASSWORDS),
    Rule(".mylogin.cnf", PASSWORDS),
    Rule(".git-credentials", TOKENS),
    Rule(".git/credentials", TOKENS),
    Rule(".config/git/credentials", TOKENS),
    Rule(".config/gh", TOKENS),
    Rule(".config/glab-cli", TOKENS),
    Rule(".config/hub", TOKENS),
    Rule(".huggingface/token", TOKENS),
    Rule(".huggingface/stored_tokens", TOKENS),
    Rule(".cache/huggingface/token", TOKENS),
    Rule(".cache/huggingface/stored_tokens", TOKENS),
    Rule(".kaggle/kaggle.json", TOKENS),
    Rule(".config/wandb", TOKENS),
    Rule(".config/github-copilot", TOKENS),
    Rule(".jupyter", STARTUP),
    Rule(".ipython/profile_*/startup", STARTUP),
    Rule(".ipython/profile_*/ipython*_config.py", STARTUP),
    Rule(".ipython/profile_*/ipython*_config.json", STARTUP),
    Rule(".ipython/profile_*/security", RUNTIME),
    Rule(".ipython/profile_*/pid", RUNTIME),
    Rule(".ipython/profile_*/history.sqlite*", HISTORY),
    Rule("notebook_secret", SIGNING),
    Rule("notebook_cookie_secret", SIGNING),
    Rule("jupyter_cookie_secret", SIGNING),
    Rule("jupyterhub_cookie_secret", SIGNING),
    Rule("nbsignatures.db*", SIGNING),
    Rule("share/jupyter/runtime", RUNTIME),
    Rule("nbserver-*.json", RUNTIME),
    Rule("nbserver-*-open.html", RUNTIME),
    Rule("jpserver-*.json", RUNTIME),
    Rule("jpserver-*-open.html", RUNTIME),
    Rule(".bash_history", HISTORY),
    Rule(".zsh_history", HISTORY),
    Rule(".zhistory", HISTORY),
    Rule(".zsh_sessions", HISTORY),
    Rule(".sh_history", HISTORY),
    Rule(".ash_history", HISTORY),
    Rule(".ksh_history", HISTORY),
    Rule(".histfile", HISTORY),
    Rule("fish/fish_history", HISTORY),
    Rule(".python_history", HISTORY),
    Rule(".julia/logs", HISTORY),
    Rule(".Rhistory", HISTORY),
    Rule(".node_repl_history", HISTORY),
    Rule(".sqlite_history", HISTORY),
    Rule(".psql_history", HISTORY),
    Rule(".mysql_history", HISTORY),
    Rule(".rediscli_history", HISTORY),
    Rule(".lesshst", HISTORY),
    Rule(".viminfo", HISTORY),
    Rule(".secxops-incomplete", INTERRUPTED),
)

CONTENT: dict[bytes, tuple[re.Pattern[bytes], str]] = {
    b".npmrc": (re.compile(rb"(?i)_auth(token)?\s*=|_password\s*="), REGISTRY),
    b".yarnrc.yml": (re.compile(rb"(?i)npmAuth(Token|Ident)"), REGISTRY),
    b"pip.conf": (re.compile(rb"(?i)https?://[^\s/@]+@"), REGISTRY),
    b".condarc": (re.compile(rb"(?i)https?://[^\s/@]+@|/t/[0-9a-z-]{8,}/"), REGISTRY),
}
"""Files that are left out only if their content matches; at most a few kilobytes are looked at."""

_Last = list[tuple[str | None, str]]


@functools.cache  # made when it is first asked for: most copies ask for none, and each takes its time
def _glob(text: str) -> re.Pattern[bytes]:
    inner = b"[^/]*".join(re.escape(part) for part in text.encode().split(b"*"))
    return re.compile(rb"(?:^|/)" + inner + rb"\Z", re.DOTALL)


def _sorted() -> tuple[dict[bytes, _Last], list[tuple[str, str]]]:
    """Sort the rules by their last component, so that most names cost one look into a dict."""
    exact: dict[bytes, _Last] = {}
    others: list[tuple[str, str]] = []
    for path, reason in NEVER:
        last = path.rpartition("/")[2]
        if "*" in last:
            others.append((path, reason))
        else:
            whole = None if "/" not in path else path
            exact.setdefault(last.encode(), []).append((whole, reason))
    return exact, others


_EXACT, _OTHERS = _sorted()
_MAYBE = re.compile(rb"nbsig|nbserver-|jpserver-|ipython|history\.sqlite")


def reason_for_last(path: bytes, name: bytes) -> str | None:
    """Say why a path of a project is never copied, its folders already asked about; None when it may be.

    ``name`` is the last component of ``path``. Used where a tree is walked and a folder that is
    never copied is not entered.
    """
    for whole, reason in _EXACT.get(name, ()):
        if whole is None or _glob(whole).search(path):
            return reason
    if _MAYBE.match(name):
        for pattern, reason in _OTHERS:
            if _glob(pattern).search(path):
                return reason
    return None


def reason_by_content(name: bytes, content: bytes) -> str | None:
    """Say why a file of this ``name`` with this ``content`` is not copied; None if it may be."""
    rule = CONTENT.get(name)
    return rule[1] if rule is not None and rule[0].search(content) else None
