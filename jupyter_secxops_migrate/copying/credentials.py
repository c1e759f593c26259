"""What may hold credentials: left out of a copy, unless somebody asks for it by its path.

`never` knows what is never copied, by name. This knows the files that a person would call
credentials too, and that a project may need all the same: ``.env``, private keys, tokens of
services, backups of all these, hooks of git. `Selection` puts both together with what was asked to
be kept. The survey, the build context and the copier ask it the same questions, so that what a plan
says is what happens.

A file's content is looked at where its name says so, and of each small file the first kilobytes: a
private key is one whatever it is called. Only private keys: certificates and public keys are copied.
Sources, notebooks and texts are not searched for keys inside them.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import never
from .never import CLOUD, KEYS, PASSWORDS, REGISTRY, STARTUP, TOKENS, Rule
from .settings import SETTINGS_FILES, Held

__all__ = [
    "HELD",
    "HELD_IF",
    "HOOK",
    "LOOK_MOST",
    "Found",
    "Selection",
    "is_template",
    "is_text",
    "readable",
]

SETTINGS = "settings that may hold credentials"
PRIVATE_KEY = "a private key"
HOOK = "a hook that git would run by itself"

LOOK_MOST = 16 * 1024
"""Bytes. Files up to this size are looked at, whatever their name; the longest keys have 13 KB."""

LOOK_NAMED_MOST = 64 * 1024
"""Bytes looked at of a file whose name calls for it, however large it is."""

_KEY_LEAST = 64

HELD: tuple[Rule, ...] = (
    Rule(".env*", SETTINGS),
    Rule("id_rsa", KEYS),
    Rule("id_dsa", KEYS),
    Rule("id_ecdsa", KEYS),
    Rule("id_ecdsa_sk", KEYS),
    Rule("id_ed25519", KEYS),
    Rule("id_ed25519_sk", KEYS),
    Rule("*.ppk", KEYS),
    Rule("*.p12", KEYS),
    Rule("*.pfx", KEYS),
    Rule("*.keytab", KEYS),
    Rule("*.kdbx", PASSWORDS),
    Rule("kaggle.json", TOKENS),
    Rule(".cdsapirc", TOKENS),
    Rule(".ecmwfapirc", TOKENS),
    Rule(".Renviron", SETTINGS),
    Rule(".streamlit/secrets.toml", PASSWORDS),
    Rule("secrets.toml", PASSWORDS),
    Rule("secrets.yaml", PASSWORDS),
    Rule("secrets.yml", PASSWORDS),
    Rule("secrets.json", PASSWORDS),
    Rule("credentials.toml", PASSWORDS),
    Rule("credentials.yaml", PASSWORDS),
    Rule("credentials.yml", PASSWORDS),
    Rule("credentials.json", PASSWORDS),
    Rule("client_secret*.json", CLOUD),
    Rule("application_default_credentials.json", CLOUD),
    Rule("kubeconfig", CLOUD),
    Rule("*.kubeconfig", CLOUD),
    Rule("rclone.conf", CLOUD),
    Rule(".dvc/config.local", CLOUD),
    Rule("annex/creds/", CLOUD),
    Rule("*.tfvars", SETTINGS),
    Rule("*.tfvars.json", SETTINGS),
    Rule("terraform.tfstate", CLOUD),
    Rule("uv/credentials/", REGISTRY),
    Rule("pypoetry/auth.toml", REGISTRY),
    Rule(".composer/auth.json", REGISTRY),
    Rule("composer/auth.json", REGISTRY),
    Rule(".bundle/config", REGISTRY),
    Rule(".gradle/gradle.properties", REGISTRY),
    Rule(".ivy2/.credentials", REGISTRY),
    Rule(".sbt/.credentials", REGISTRY),
    Rule("sops/age/keys.txt", KEYS),
    Rule(".dbt/profiles.yml", PASSWORDS),
    Rule(".dbt/profiles.yaml", PASSWORDS),
    Rule(".smbcredentials", PASSWORDS),
    Rule("smbcredentials", PASSWORDS),
    Rule(".cifscredentials", PASSWORDS),
    Rule(".smb/", PASSWORDS),
    Rule(".smbpasswd", PASSWORDS),
    Rule("smbpasswd", PASSWORDS),
    Rule(".subversion/auth/", PASSWORDS),
    Rule(".subversion/servers", PASSWORDS),
    Rule(".htpasswd", PASSWORDS),
    Rule(".vault_pass*", PASSWORDS),
    Rule(".vault-pass*", PASSWORDS),
    Rule(".fly/config.yml", TOKENS),
    Rule(".config/sops/", KEYS),
    Rule(".config/doctl/config.yaml", CLOUD),
    Rule(".mlflow/credentials", PASSWORDS),
    Rule("standalone_admin_password.txt", PASSWORDS),
    Rule("simple_auth_manager_passwords.json*", PASSWORDS),
    Rule("passwd-s3fs", CLOUD),
    Rule(".passwd-s3fs", CLOUD),
    Rule("pgpass", PASSWORDS),
    Rule("pgpass.conf", PASSWORDS),
    Rule(".kaggle/access_token", TOKENS),
    Rule(".credentials.json", TOKENS),
    Rule(".config/earthengine/credentials", CLOUD),
    Rule(".secrets", PASSWORDS),
    Rule(".secrets.toml", PASSWORDS),
    Rule(".secrets.yaml", PASSWORDS),
    Rule(".secrets.yml", PASSWORDS),
    Rule(".secrets.json", PASSWORDS),
    Rule(".secrets.ini", PASSWORDS),
    Rule(".secrets.local.toml", PASSWORDS),
)
"""Names of files that may hold credentials, and of folders where one ends in a slash: a folder ``.env`` is
an environment of Python, and is entered."""


_URL_OF_SOMEBODY = r"https?://[^\s/@:]*:?[^\s/@${}<]+@"
_SETTING = r"(?:\w+_)?(?:secret|token|password|passwd|pass|pwd|api_?key|access_?key|private_?key|auth)(?:_\w+)?"

_OF_DBT = rf"""(?im)^[ \t]*(?:{_SETTING}|keyfile_json)[ \t]*:[ \t]*(?!["']?\{{\{{)[^\s#]"""

HELD_IF: tuple[Held, ...] = (
    Held("*.env", rf"(?im)^[ \t]*(?:export[ \t]+)?{_SETTING}[ \t]*=[ \t]*\S", SETTINGS),
    Held("profiles.yml", _OF_DBT, PASSWORDS),
    Held("profiles.yaml", _OF_DBT, PASSWORDS),
    Held(
        "auth.json",
        r'"(?:http-basic|bearer|[a-z]+-(?:oauth|token)|auths|client-certificate)"\s*:\s*\{\s*"',
        REGISTRY,
    ),
    Held("poetry.toml", rf"(?im)^[ \t]*(?:password|token)[ \t]*=|{_URL_OF_SOMEBODY}", REGISTRY),
    Held("uv.toml", _URL_OF_SOMEBODY, REGISTRY),
    Held("pip.ini", _URL_OF_SOMEBODY, REGISTRY),
    Held(".pip/pip.conf", _URL_OF_SOMEBODY, REGISTRY),
    Held(".hgrc", r"(?im)^[ \t]*[\w.-]+\.password[ \t]*=|https?://[^\s/@:]+:[^\s/@]+@", PASSWORDS),
    Held("hgrc", r"(?im)^[ \t]*[\w.-]+\.password[ \t]*=|https?://[^\s/@:]+:[^\s/@]+@", PASSWORDS),
    Held("nuget.config", r"(?i)ClearTextPassword|<apikeys>\s*<add", REGISTRY),
    Held("token.json", r'"(?:refresh_token|client_secret|access_token)"\s*:\s*"', TOKENS),
    Held("*.ovpn", r"(?m)^-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----", KEYS),
    Held("*.conf", r"(?im)^\[interface\][^\[]*^[ \t]*PrivateKey[ \t]*=", KEYS),
    *SETTINGS_FILES,
)
"""Files that are left out only if their content matches."""

# A key's armour with something of a key behind it: who only writes about keys has the first line.
# Nothing here can match the same bytes in two ways: a file made to be slow is no slower than others.
_LINE = rb"(?:[\r\n]|\\+[rn]|&#(?:1[03]|x0?[aAdD]);)"
_BREAK = rb"(?:[ \t]|" + _LINE + rb")"
_ARMOUR = (
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    + _BREAK
    + rb"+(?:[A-Za-z-]+: (?:[^\r\n\\&]|&(?!#))*"
    + _LINE
    + _BREAK
    + rb"*)*[A-Za-z0-9+/=]{16}"
)
# What comes before it on its line: nothing, a quote, or what begins a value. Prose has a word there.
_BEFORE = rb"(?:(?:^(?:\xef\xbb\xbf)?|\r|[\"'(\[,;|]|\\[rnt])[ \t]*|[=:>][ \t\r\n]*|-[ \t\r\n]+)"
_KEY = re.compile(
    _BEFORE
    + rb"(?:"
    + _ARMOUR
    + rb"|---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----"
    + rb"|PuTTY-User-Key-File-\d:"
    + rb"|AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{16}"
    + rb")|(?:^|[\"'])[ \t]*(?:untrusted comment: (?:minisign|rsign) encrypted secret key"
    + rb"|(?:Key: )?\((?:\d+:)?(?:protected-|shadowed-)?private-key\b"
    + rb")",
    re.MULTILINE,
)
_WORDS = (b"PRIVATE KEY", b"PuTTY-User-Key", b"AGE-SECRET-KEY", b"secret key", b"private-key")
_KEY_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?\s*" + _ARMOUR)
"""A source or a text is a key only if it begins with one."""

_TEXTS = re.compile(
    rb"(?i)\.(?:py|pyi|ipynb|r|rmd|jl|md|rst|tex|html?|[ch]|cc|cpp|hpp|cs|java|kt|scala|go|rs|rb|php|[jt]sx?|mjs"
    rb"|swift|patch|diff)\Z"
)
# ASN.1: a sequence that ends where the file does, which begins as keys do and nothing else does.
_DER = re.compile(
    rb"\x30(?:[\x00-\x7f]|\x80|\x81.|\x82..|\x83...|\x84....)(?:"
    # PKCS#12: version 3, then the type of what it wraps (data or signed data)
    rb"\x02\x01\x03\x30(?:[\x00-\x7f]|\x80|\x81.|\x82..|\x83...|\x84....)\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07[\x01\x02]"
    # PKCS#8: version 0 or 1, then an algorithm
    rb"|\x02\x01[\x00\x01]\x30.\x06"
    # PKCS#8, encrypted: by PBES2 or what came before it
    rb"|\x30(?:[\x00-\x7f]|\x81.)\x06(?:\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05|\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01)"
    # PKCS#1: version 0 or 1, then a modulus; SEC 1: version 1, then the key
    rb"|\x02\x01[\x00\x01]\x02[\x81\x82]|\x02\x01\x01\x04[\x14-\x42])",
    re.DOTALL,
)
# Java's key store, its first entry a private key and not a certificate.
_JKS = re.compile(
    rb"(?:\xfe\xed\xfe\xed|\xce\xce\xce\xce)\0\0\0[\x01\x02]....\0\0\0[\x01\x03]", re.DOTALL
)

_NAMED = re.compile(
    rb"(?i)\.(?:pem|key|der|p8|pk8|pkcs8|jks|keystore|asc|gpg|age)\Z|secring|private[-_]?key|\Aid_[a-z]"
)
"""Names by which a file is looked at although it is large."""

_TEMPLATE = re.compile(
    rb"[.\-_](?:example|sample|template|dist)(?:[.\-_~].*)?\Z|\A(?:example|sample|template)\."
)

# What a backup adds to a name, at its end, or before its extension.
_BACKUP = re.compile(
    rb"(?i)(?P<name>.+?)(?:"
    rb"~|\.~\d+~"
    rb"|[.\-_](?:bak|old|orig|save|backup|back|copy|prev|tmp|dpkg-(?:old|dist|new|tmp)|rpm(?:save|orig|new))[.\-_]?\d*"
    rb"|\.sw[a-p]|-checkpoint|-Copy\d+| ?\(\d+\)| copy(?: \d+)?"
    rb")(?P<extension>\.[a-z0-9]{1,10})?\Z",
    re.DOTALL,
)
_MARK = rb"~|bak|old|orig|save|back|copy|prev|tmp|dpkg|rpm|\.sw[a-p]|-checkpoint|\)|#\Z"
"""In the name of every backup, and in few others."""

_MOST_BACKUPS = 3


class Found(NamedTuple):
    """What was found in a file or folder: why it is left out, and whether it is ``kept`` all the same.

    ``choice`` says whether it can be kept at all.
    """

    reason: str
    kept: bool
    choice: bool


def readable(path: bytes) -> str:
    """Return a path as text that JSON can carry: bytes that are not UTF-8 become ``\\xff``."""
    return path.decode("utf-8", "backslashreplace")


def is_template(name: bytes) -> bool:
    """Say whether a file of this name shows how another one is to be filled in."""
    return _TEMPLATE.search(name) is not None


class Selection:
    """What of one tree is left out.

    Parameters
    ----------
    keep
        Paths, relative to the tree's root and as `readable` gives them, that are copied although they
        may hold credentials; a folder with all that is in it.
    data
        The tree is data: what is never copied of code can be kept, too.

    Attributes
    ----------
    used
        Those of ``keep`` that have kept something of what was asked about.

    Examples
    --------
    >>> Selection().by_name(b"conf/.env", b".env").reason
    'settings that may hold credentials'
    >>> Selection(["conf/.env"]).by_name(b"conf/.env", b".env").kept
    True
    """

    def __init__(self, keep: Iterable[str] = (), *, data: bool = False) -> None:
        self._keep = frozenset(keep)
        self.used: set[str] = set()
        self._data = data

    def by_name(
        self, path: bytes, name: bytes, *, folder: bool = False, hook: bool = False
    ) -> Found | None:
        """Say what is known of a path by its name alone; None if nothing is.

        Parameters
        ----------
        path, name
            Relative to the root, and its last component. Its folders were asked about before.
        folder
            It is a folder.
        hook
            It lies in the ``hooks`` of a git directory.
        """
        reason = never.reason_for_last(path, name)
        if reason is not None:
            return self._found(path, reason, absolute=not self._data)
        if hook and not name.endswith(b".sample"):
            return self._found(path, HOOK)
        reason = _held(path, name, folder)
        return None if reason is None else self._found(path, reason)

    @staticmethod
    def look(name: bytes, size: int) -> int:
        """Return how many bytes of a file's start `by_content` needs; 0 for none."""
        if _KEY_LEAST <= size <= LOOK_MOST:
            return LOOK_MOST
        if name in never.CONTENT or (
            _may_be_by_content(name)
            and (_NAMED.search(name) or any(map(_by_its_content, _as_before(name))))
        ):
            return LOOK_NAMED_MOST
        return 0

    def by_itself(self, path: bytes, name: bytes) -> bool:
        """Return whether content is judged otherwise under this name than under another one.

        Then a file is not the same as under its other names (hard links), whatever the disk says. All
        others are judged alike, but for `is_text`.
        """
        return self.look(name, LOOK_MOST + 1) > 0 or bool(self._kept_by(path))

    def by_content(self, path: bytes, name: bytes, size: int, start: bytes) -> Found | None:
        """Say what a file's ``start`` tells, of which `look` said how long it must be.

        ``size`` is the whole file's, in bytes.
        """
        start = _in_bytes(start)
        reason = never.reason_by_content(name, start)
        if reason is not None:
            return self._found(path, reason, absolute=not self._data)
        if is_private_key(name, size, start):
            return self._found(path, PRIVATE_KEY)
        if not _may_be_by_content(name):
            return None
        for before in filter(_by_its_content, _as_before(name)):
            reason = _held_if(path[: len(path) - len(name)] + before, before, start)
            if reason is not None:
                return self._found(path, reason)
        return None

    def _found(self, path: bytes, reason: str, *, absolute: bool = False) -> Found:
        by = "" if absolute else self._kept_by(path)
        if by:
            self.used.add(by)
        return Found(reason, bool(by), not absolute)

    def _kept_by(self, path: bytes) -> str:
        """Return what was named: a path, or a folder above it that is left out otherwise; else nothing."""
        if not self._keep:
            return ""
        if readable(path) in self._keep:
            return readable(path)
        for above in _above(path):
            if readable(above) in self._keep and (
                never.reason_for_last(above, _last(above)) or _held(above, _last(above), True)
            ):
                return readable(above)
        return ""


def is_private_key(name: bytes, size: int, start: bytes) -> bool:
    """Say whether a file is a private key, or a store of such, by how it begins."""
    first = start[:1]
    if first == b"\x30":
        return _DER.match(start) is not None and _whole(start, size)
    if first in (b"\xfe", b"\xce"):
        return _JKS.match(start) is not None
    # Armour is text; and few texts have one of these words.
    if b"\0" in start or not any(word in start for word in _WORDS):
        return False
    if is_text(name):
        return _KEY_FIRST.match(start) is not None
    return _KEY.search(start) is not None


def is_text(name: bytes) -> bool:
    """Say whether a file is a source or a text by its name, which may have an example of a key in it."""
    return _TEXTS.search(name) is not None


def _in_bytes(start: bytes) -> bytes:
    """Return text that is UTF-16 by its mark as UTF-8, anything else as it is."""
    if not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return start
    return start.decode("utf-16", "ignore").encode()


def _whole(start: bytes, size: int) -> bool:
    """Whether an ASN.1 sequence is as long as its file; one without a length may be."""
    length = start[1]
    if length < 0x80:
        return size == 2 + length
    count = length & 0x7F
    return count == 0 or size == 2 + count + int.from_bytes(start[2 : 2 + count], "big")


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _above(path: bytes) -> Iterator[bytes]:
    """Yield the folders in which a path lies."""
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _held(path: bytes, name: bytes, folder: bool) -> str | None:
    if _HINT.search(name) is None:
        return None
    return _held_as(path, name, folder) or _of_backup(path, name, folder)


def _held_as(path: bytes, name: bytes, folder: bool) -> str | None:
    names, rules = _held_rules(folder)
    if names.search(name) and not is_template(name):
        for whole, reason in rules:
            if _whole_path(whole).search(path):
                return reason
    return None


def _may_be_by_content(name: bytes) -> bool:
    return _is_held_if(name) or _HINT_OF_CONTENT.search(name) is not None


def _by_its_content(name: bytes) -> bool:
    """Whether a file's content decides because of its name."""
    if name in never.CONTENT:
        return True
    named = _is_held_if(name) or _HELD_IF_OTHERS.search(name) is not None
    return named and not is_template(name)


def _is_held_if(name: bytes) -> bool:
    lower = name.lower()
    return lower in _HELD_IF_EXACT or lower.endswith(_HELD_IF_ENDS)


def _held_if(path: bytes, name: bytes, start: bytes) -> str | None:
    reason = never.reason_by_content(name, start)
    if reason is not None:
        return reason
    for whole, holds, why in HELD_IF:
        if _whole_path(whole).search(path) and re.search(holds.encode(), start):
            return why
    return None


def _of_backup(path: bytes, name: bytes, folder: bool) -> str | None:
    """Say why something stays that is a backup, by its name, of what would stay."""
    for original in _originals(name):
        before = path[: len(path) - len(name)] + original
        reason = never.reason_for_last(before, original)
        if reason in _OF_CREDENTIALS:
            return reason
        reason = _held_as(before, original, folder)
        if reason is not None:
            return reason
    return None


def _as_before(name: bytes) -> Iterator[bytes]:
    """Yield a name, and those whose backup it may be."""
    yield name
    yield from _originals(name)


def _originals(name: bytes) -> Iterator[bytes]:
    """Yield the names whose backup this may be: ``.env`` for ``.env.bak``, ``..env.swp``, ``#.env#``."""
    if name.startswith(b"#") and name.endswith(b"#") and len(name) > 2:
        yield name[1:-1]
        return
    for _ in range(_MOST_BACKUPS):
        match = _BACKUP.match(name)
        if match is None:
            return
        name = match["name"] + (match["extension"] or b"")
        yield name
        if name.startswith(b".") and len(name) > 1:
            yield name[1:]  # an editor's swap file hides itself


_OF_CREDENTIALS = frozenset({KEYS, CLOUD, REGISTRY, PASSWORDS, TOKENS, STARTUP, never.SIGNING})


def _names(paths: Iterable[str]) -> bytes:
    """Match the last components of paths."""
    last = sorted({path.rpartition("/")[2] for path in paths})
    inner = b"|".join(b".*".join(map(re.escape, name.encode().split(b"*"))) for name in last)
    return rb"\A(?:" + inner + rb")\Z"


@functools.cache  # made when it is first asked for: most copies ask for none, and each takes its time
def _whole_path(path: str) -> re.Pattern[bytes]:
    inner = b"[^/]*".join(re.escape(part) for part in path.encode().split(b"*"))
    return re.compile(rb"(?is)(?:^|/)" + inner + rb"\Z")


@functools.cache
def _held_rules(folders: bool) -> tuple[re.Pattern[bytes], list[tuple[str, str]]]:
    """Return what matches their last components, and the paths of the rules for files or folders."""
    rules = [(path.rstrip("/"), why) for path, why in HELD if path.endswith("/") == folders]
    names = re.compile(rb"(?is)" + _names(path for path, _ in rules))
    return names, rules


_HELD_IF_NAMES = {row.name.lower().rpartition("/")[2].encode() for row in HELD_IF}
_HELD_IF_EXACT = frozenset(name for name in _HELD_IF_NAMES if b"*" not in name)
_HELD_IF_ENDS = tuple(
    name[1:] for name in _HELD_IF_NAMES if name.startswith(b"*") and name.count(b"*") == 1
)
_HELD_IF_OTHERS = re.compile(
    rb"(?is)" + _names(row.name for row in HELD_IF if "*" in row.name[1:].rpartition("/")[2])
)
# Most names cost one search.
_HINT = re.compile(rb"(?is)" + _names(rule.path.rstrip("/") for rule in HELD) + rb"|" + _MARK)
_HINT_OF_CONTENT = re.compile(_HELD_IF_OTHERS.pattern + rb"|" + _NAMED.pattern[4:] + rb"|" + _MARK)
