"""Settings files of tools that hold a password or token in one project, and none in the next.

The name alone says little: a file is left out if one of its keys says that it is a secret *and* its value
is written out. What only tells where the value comes from (a variable, a template, ``!secret``, a file), what
is empty, and the words that stand in examples (``changeme``, ``your-token``) are no secrets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .never import CLOUD, PASSWORDS, REGISTRY, TOKENS

__all__ = ["SETTINGS_FILES", "Held"]


class Held(NamedTuple):
    """A file that may hold credentials if its ``name`` is such and its content ``holds`` one."""

    name: str
    holds: str
    reason: str


# Nothing here can match the same bytes in two ways: a file made to be slow is no slower than others.
_KEY = (
    r"[\w.-]*(?:secret|token|passw(?:or)?d|passphrase|pwd|api[_-]?key|secret[_-]?access[_-]?key|secret[_-]?key|account[_-]?key"
    r"|auth[_-]?key|fernet[_-]?key|key[_-]?secret|connection[_-]?string|auth[_-]?string|basic[_-]?auth)"
)
_IS_SHOWN = (
    r"(?:true|false|yes|no|on|off|none|null|nil|undefined)\b"
    r"|x{3}|\.\.\.|your|my[_-]|change|replace|insert|enter|todo|tbd|dummy|fake|example|placeholder|redacted"
    r"|(?:op|vault|env|file|secret|ssm|keyring)[:(]|enc\["
    # What tutorials have, and everybody knows.
    r"|(?:pass(?:word|wd)?\d{0,4}|secret|token|test|admin|root|postgres|mysql|airflow|guest|minio(?:admin|123)?|default"
    r"|docker|mlflow|superset|dagster|user(?:name)?)(?![^\s\"',;}#@])"
)
_WRITTEN_OUT = rf"(?![\"'\s#;,}}\]]|\Z|[$<{{*!%]|{_IS_SHOWN})"
_SETTING = rf"""(?im)(?:^|[{{,])[ \t]*(?:-[ \t]+)?(?:export[ \t]+)?["']?{_KEY}["']?[ \t]*[=:][ \t]*["']?{_WRITTEN_OUT}"""
_IN_PYTHON = rf"""(?im)^[ \t]*{_KEY}[ \t]*=[ \t]*[urb]?["']{_WRITTEN_OUT}"""
_IN_ADDRESS = rf"(?i)://[^\s/@:]{{0,200}}:{_WRITTEN_OUT}[^\s/@${{}}<%]{{1,500}}@"
_ANY = rf"{_SETTING}|{_IN_ADDRESS.removeprefix('(?i)')}"
_PYTHON = rf"{_IN_PYTHON}|{_IN_ADDRESS.removeprefix('(?i)')}"
_XML = rf"(?i)<name>[^<]{{0,200}}(?:secret|password|account\.key|token)[^<]{{0,200}}</name>\s*<value>{_WRITTEN_OUT}"
_SPACED = rf"(?im)^[ \t]*[\w.-]*(?:secret\.key|secret|password|account\.key|requirepass|authtoken)[ \t=:]+{_WRITTEN_OUT}"
_ALONE = r"\A(?:\xef\xbb\xbf)?\s*(?=\S*\d)(?=\S*[A-Za-z])[\w.\-/+=]{20,400}\s*\Z"
"""A file that is nothing but a token."""


def _each(names: Iterable[str], holds: str, reason: str) -> Iterable[Held]:
    return (Held(name, holds, reason) for name in names)


SETTINGS_FILES: tuple[Held, ...] = (
    # storage and clouds
    *_each((".dvc/config", "dvc/config", "lakectl.yaml", ".lakectl.yaml"), _ANY, CLOUD),
    *_each(("s3cfg", "*.s3cfg", "boto.cfg", "credentials", "aws_credentials"), _SETTING, CLOUD),
    *_each(
        ("fuse_connection*.cfg", "mc/config.json", "*cred*.json", "*creds*.txt"), _SETTING, CLOUD
    ),
    *_each(("*accessKeys*.csv", "rootkey*.csv"), r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", CLOUD),
    *_each(("spark-defaults.conf",), _SPACED, CLOUD),
    *_each(("core-site.xml", "hdfs-site.xml", "hive-site.xml"), _XML, CLOUD),
    *_each(
        ("snowflake/config.toml", "connections.toml", "snowsql/config", "snowsql.cnf"), _ANY, CLOUD
    ),
    *_each(
        ("databrickscfg", ".databricks-connect", ".databricks/token-cache.json"), _SETTING, CLOUD
    ),
    # experiments, models, pipelines
    *_each(("wandb/settings", "basic_auth.ini", "clearml*.conf", "trains.conf"), _SETTING, TOKENS),
    *_each(("profiles.toml", "prefect.toml", ".prefect/auth.toml"), _SETTING, TOKENS),
    *_each(
        (".comet.config", ".modal.toml", ".yatai.yaml", ".ngc/config", "qiskit-ibm.json"),
        _SETTING,
        TOKENS,
    ),
    *_each(
        (
            ".metaflowconfig/config.json",
            ".metaflowconfig/config_*.json",
            ".pachyderm/config.json",
            ".dstack/config.yml",
        ),
        _SETTING,
        TOKENS,
    ),
    *_each(
        (".paperspace/config.json", "lambda_keys", "ngrok.yml", "sentinelhub/config.toml"),
        _SETTING,
        TOKENS,
    ),
    *_each(
        (".aider.conf.yml", ".continue/config.json", ".continue/config.yaml", ".codex/auth.json"),
        _SETTING,
        TOKENS,
    ),
    *_each(("dagster.yaml", "dagster_cloud.yaml", ".dagster_cloud_cli/config"), _ANY, PASSWORDS),
    *_each(("airflow.cfg", "airflow_settings.yaml", "alembic.ini"), _ANY, PASSWORDS),
    *_each(("superset_config*.py",), _PYTHON, PASSWORDS),
    *_each(
        ("*token", "*token.txt", "*api_key", "*api_key.txt", "*apikey", "*apikey.txt"),
        _ALONE,
        TOKENS,
    ),
    # Jupyter
    *_each(("jupyter*_config.json",), _SETTING, PASSWORDS),
    *_each(("jupyter*_config.py",), _PYTHON, PASSWORDS),
    # databases and searches
    *_each(
        ("my.cnf", "pg_service.conf", ".pg_service.conf", "odbc.ini", ".odbc.ini"),
        _SETTING,
        PASSWORDS,
    ),
    *_each(("redis.conf",), _SPACED, PASSWORDS),
    *_each(("*.properties",), _ANY, PASSWORDS),
    *_each(
        ("kibana.yml", "elasticsearch.yml", "logstash.yml", "*beat.yml", ".splunkrc"),
        _ANY,
        PASSWORDS,
    ),
    *_each(("msticpyconfig.yaml", "censys.cfg", ".vt.toml"), _SETTING, TOKENS),
    # containers and R
    *_each(
        ("docker-compose*.yml", "docker-compose*.yaml", "compose*.yml", "compose*.yaml"),
        _ANY,
        PASSWORDS,
    ),
    *_each(
        ("config.json", "*dockerconfig*json"),
        r'"(?:auth|identitytoken|registrytoken)"\s*:\s*"[\w+/=.-]{12}',
        REGISTRY,
    ),
    *_each(
        ("*.Renviron", "Renviron.site"),
        rf"(?im)^[ \t]*\w*(?:PAT|{_KEY})[ \t]*=[ \t]*[\"']?{_WRITTEN_OUT}",
        TOKENS,
    ),
)
"""Files that are left out only if their content matches."""
