"""What may hold credentials stays, unless it was asked for; the plan's count is what happens."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_secxops_migrate.building.context import BuildContext
from jupyter_secxops_migrate.copying.credentials import Selection
from jupyter_secxops_migrate.copying.git import SHARED, scrubbed
from jupyter_secxops_migrate.copying.tree import copy_tree
from jupyter_secxops_migrate.environment.look import as_json, survey_of
from jupyter_secxops_migrate.environment.survey import kept_in, survey

PEM = (
    b"-----BEGIN %sPRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"
)
CERTIFICATE = (
    b"-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END CERTIFICATE-----\n"
)
PKCS12 = (
    b"\x30\x82\x01\x00\x02\x01\x03\x30\x82\x00\xf0\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"
).ljust(260, b"x")

LEFT_OUT = {
    ".env": b"A=1",
    "a/.env.production": b"A=1",
    "prod.env": b"export DB_PASSWORD=x\n",
    ".envrc": b"export A=1",
    "notes.txt": PEM % b"",
    "no-suffix": PEM % b"OPENSSH ",
    "bag.dat": b"Bag Attributes\n    friendlyName: x\n" + PEM % b"ENCRYPTED ",
    "chain.crt": CERTIFICATE + PEM % b"EC ",
    "account.json": b'{"private_key": "' + (PEM % b"").replace(b"\n", b"\\n") + b'"}',
    "store.bin": PKCS12,
    "putty": b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: a key of mine\n",
    "id_ed25519": b"x",
    "kaggle.json": b"{}",
    ".streamlit/secrets.toml": b"a = 1",
    "uv/credentials/credentials.toml": b"x",
    "pypoetry/auth.toml": b"x",
    "auth.json": b'{"github-oauth": {"github.com": "x"}}',
    "keys.txt": b"# created: now\nAGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ\n",
    "profiles.yml": b"dev:\n  password: hunter2\n",
    ".smbcredentials": b"x",
    ".subversion/auth/svn.simple/0": b"x",
    ".env.bak": b"x",
    "kaggle.json.old": b"x",
    "kaggle-Copy1.json": b"x",
    ".ipynb_checkpoints/kaggle-checkpoint.json": b"x",
    ".netrc~": b"x",
    ".pypirc.orig": b"x",
    ".id_rsa.swp": b"x",
    ".aws.bak/credentials": b"x",
    ".npmrc.bak": b"//r/:_authToken=x\n",
    ".dvc/config.local": b"['remote \"o\"']\n    password = x\n",
    ".Renviron": b"API_TOKEN=x\n",
    ".secrets.toml": b"x",
    ".mlflow/credentials": b"x",
    ".git/annex/creds/0": b"x",
    "a/.comet.config": b"[comet]\napi_key = x\n",
    ".cdsapirc": b"url: https://host\nkey: x\n",
    "service.keytab": b"\x05\x02",
    "prod.auto.tfvars.json": b"{}",
    ".dbt/profiles.yaml": b"x",
    "a/profiles.yaml": b"dev:\n  password: hunter2\n",
    ".git/hooks/pre-commit": b"#!/bin/sh\n",
    "bare/hooks/post-receive": b"#!/bin/sh\n",
}
COPIED = {
    ".env.example": b"A=",
    ".env.local.sample": b"A=",
    ".env.template": b"A=",
    ".env.dist": b"A=",
    "sub/.env/bin/python": b"x",
    "train.env": b"TOKENIZERS_PARALLELISM=false\n",
    "ca.pem": CERTIFICATE,
    "id_rsa.pub": b"ssh-rsa AAAA me@here",
    "about.txt": b"A key begins with -----BEGIN PRIVATE KEY-----, and so on, for many lines.\n",
    "about16.txt": "A key begins with -----BEGIN PRIVATE KEY-----, and so on, for many.\n".encode(
        "utf-16"
    ),
    "ca16.pem": CERTIFICATE.decode().encode("utf-16"),
    "ca.yml": b"ca: " + CERTIFICATE,
    "values.yml": b"key: -----BEGIN PRIVATE KEY-----\n  {{ the key }}\n  -----END PRIVATE KEY-----\n",
    "values2.yml": b"- -----BEGIN PRIVATE KEY-----\n  <your key>\n  -----END PRIVATE KEY-----\n",
    "how.md": b"Write `key: ` and:\n\nkey: " + PEM % b"",
    "how.ipynb": b'{"source": ["key=' + (PEM % b"").replace(b"\n", b"\\n") + b'"]}',
    "prose.log": b"it read -----BEGIN PRIVATE KEY----- MIIEvQIBADANBgkqhkiG9w0BAQEFAASC of the test\n",
    "test_key.py": b'KEY = """\n' + PEM % b"" + b'"""\n',
    "public.pem": b"-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PUBLIC KEY-----\n",
    "profiles.yaml": b"a",
    "package.json": b"{}",
    ".comet.config": b"[comet]\nworkspace = x\n",
    "prod.tfvars.json.example": b"{}",
    ".dvc/config": b"[core]\n    remote = o\n",
    ".git/hooks/pre-commit.sample": b"x",
    "hooks/pre-commit": b"x",
    "bare/HEAD": b"ref: refs/heads/main",
    "model.bak": b"x",
}


KEYS_AS_VALUES = {
    "unquoted.cfg": b"name=x\nkey = " + PEM % b"",
    "list.yml": b"keys:\n  - " + PEM % b"EC ",
    "plain.yml": b"tls.key: " + PEM % b"",
    "config.xml": b"<a><k>" + PEM % b"RSA " + b"</k></a>",
    "attribute.xml": b'<a k="' + (PEM % b"").replace(b"\n", b"&#10;") + b'"/>',
    "cdata.xml": b"<k><![CDATA[" + PEM % b"" + b"]]></k>",
    "comment.asc": (PEM % b"").replace(b"-----\n", b"-----\nComment: R&D\nVersion: 1\n\n", 1),
    "table.csv": b"me," + PEM % b"",
    "chain.json": b'{"pem": "' + (CERTIFICATE + PEM % b"").replace(b"\n", b"\\n") + b'"}',
    "nested.json": b'{"v": "{\\"k\\": \\"' + (PEM % b"").replace(b"\n", b"\\\\n") + b'\\"}"}',
    "mac.pem": (CERTIFICATE + PEM % b"").replace(b"\n", b"\r"),
    "bom.pem": b"\xef\xbb\xbf" + PEM % b"",
    "utf16.pem": (PEM % b"").decode().encode("utf-16"),
    "utf16-be.txt": b"\xfe\xff" + (b"key: " + PEM % b"").decode().encode("utf-16-be"),
    "utf16.env": "DB_PASSWORD=x\n".encode("utf-16"),
    "age.cfg": b"age = AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ and more of it here\n",
}


SECRET = "Zq8x2vT0hR5mK3wL"
SETTINGS = {
    ".dvc/config": "['remote \"o\"']\n    url = webdavs://host/x\n    password = {}\n",
    "deep/.dvc/config": "['remote \"s\"']\n    secret_access_key = '{}'\n",
    "http/.dvc/config": "['remote \"h\"']\n    url = https://me:{}@host/x\n",
    ".config/dvc/config": "[remote]\nconnection_string = {}\n",
    "lakectl.yaml": "credentials:\n    secret_access_key: {}\n",
    "backup.s3cfg": "secret_key = {}\n",
    "boto.cfg": "[Credentials]\naws_secret_access_key={}\n",
    "aws/credentials": "[default]\naws_secret_access_key = {}\n",
    "gdrive-user-credentials.json": '{{"client_id": "x", "refresh_token": "{}"}}',
    "me_accessKeys.csv": "Access key ID,Secret access key\nAKIAABCDEFGHIJKLMNOP,{}\n",
    "spark-defaults.conf": "spark.hadoop.fs.s3a.secret.key   {}\n",
    "core-site.xml": "<name>fs.s3a.secret.key</name>\n  <value>{}</value>",
    "connections.toml": '[default]\npassword = "{}"\n',
    ".config/snowflake/config.toml": '[c]\ntoken="{}"\n',
    ".databricks-connect": '{{"host": "x", "token": "{}"}}',
    "wandb/settings": "[default]\napi_key = {}\n",
    "clearml.conf": 'api {{ credentials {{"access_key" = "x", "secret_key" = "{}"}} }}',
    "old/clearml.conf": "api {{\n  credentials {{\n    secret_key: {}\n  }}\n}}",
    ".prefect/profiles.toml": '[profiles.cloud]\nPREFECT_API_KEY = "{}"\n',
    ".comet.config": "[comet]\napi_key = {}\n",
    ".modal.toml": '[me]\ntoken_id = "x"\ntoken_secret = "{}"\n',
    "dagster.yaml": "storage:\n  postgres:\n    postgres_db:\n      password: {}\n",
    "a/dagster.yaml": "    postgres_url: postgresql://me:{}@host/db\n",
    "airflow.cfg": "[core]\nfernet_key = {}\n",
    "b/airflow.cfg": "sql_alchemy_conn = postgresql+psycopg2://me:{}@db/airflow\n",
    "superset_config.py": "SECRET_KEY = '{}'\n",
    "hf/token": "hf_{}AbCdEfGhIjKl\n",
    "openai_api_key.txt": "sk-{}AbCdEfGhIjKl",
    "jupyter_server_config.json": '{{"IdentityProvider": {{"hashed_password": "{}"}}}}',
    "jupyter_notebook_config.py": "c.NotebookApp.token = '{}'\n",
    "conf/my.cnf": "[client]\nuser=me\npassword={}\n",
    "pg_service.conf": "[x]\npassword={}\n",
    "client.properties": "sasl.jaas.config=x\nssl.keystore.password={}\n",
    "kibana.yml": 'elasticsearch.password: "{}"\n',
    "msticpyconfig.yaml": "  VirusTotal:\n    Args:\n      AuthKey: {}\n",
    "docker-compose.yml": "services:\n  db:\n    environment:\n      POSTGRES_PASSWORD: {}\n",
    "compose.override.yaml": '    environment:\n      - "API_TOKEN={}"\n',
    "docker/config.json": '{{"auths": {{"host": {{"auth": "{}"}}}}}}',
    "site.Renviron": "GITHUB_PAT={}\n",
    "redis.conf": "port 6379\nrequirepass {}\n",
}
"""Settings files of tools; each is left out only if a secret stands in it."""
NO_SECRETS = (
    "",
    "''",
    '""',
    "${A_VARIABLE}",
    "{{ a.template }}",
    "<fill-in>",
    "None",
    "changeme",
    "your-key",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, content in {**LEFT_OUT, **COPIED}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for folder in ("objects", "refs"):
        (root / "bare" / folder).mkdir()
    return root


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def copied(source: Path, tmp_path: Path, *, keep: tuple[str, ...] = (), data: bool = False):
    made = tmp_path / "copy"
    found = copy_tree(source, made, manifest=tmp_path / "m", keep=keep, data=data, workers=1)
    return files(made), found


def test_what_may_hold_credentials_stays_and_nothing_else(project: Path, tmp_path: Path) -> None:
    assert copied(project, tmp_path)[0] == set(COPIED)


def test_a_key_stays_wherever_it_stands_in_a_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, content in KEYS_AS_VALUES.items():
        (source / name).write_bytes(content)
    assert copied(source, tmp_path)[0] == set()


def test_the_plan_counts_what_the_copy_does(project: Path, tmp_path: Path) -> None:
    seen = survey(project, [], None)
    _, found = copied(project, tmp_path)
    assert (seen.project.files, seen.project.bytes) == (found.files, found.bytes)
    named = {row.name.removeprefix("project/"): row.reason for row in seen.not_copied}
    assert named == {row.name: row.reason for row in found.skipped}
    assert all(row.keep and row.code for row in seen.not_copied)


def judged(path: str, text: str) -> str | None:
    name = path.rpartition("/")[2].encode()
    found = Selection().by_content(path.encode(), name, len(text), text.encode())
    return None if found is None else found.reason


@pytest.mark.parametrize("path", SETTINGS)
def test_settings_of_a_tool_stay_if_a_secret_is_written_out_in_them(path: str) -> None:
    text = SETTINGS[path]
    assert judged(path, text.format(SECRET))
    assert judged(f"{path}.bak", text.format(SECRET))
    assert judged(f"{path}.example", text.format(SECRET)) is None
    for value in NO_SECRETS if not path.endswith(".csv") else ():
        assert (
            judged(path, text.format(value.replace('"', "") if '"' in text else value)) is None
        ), value


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            ".dvc/config",
            "['remote \"o\"']\n    url = s3://b/x\n    ask_password = true\n    user = me\n",
        ),
        (".dvc/config", "    url = https://host:8080/x\n    # password = hunter2hunter2\n"),
        ("docker-compose.yml", "secrets:\n  db_password:\n    file: ./db_password.txt\n"),
        ("docker-compose.yml", "      POSTGRES_PASSWORD_FILE: /run/secrets/db_password\n"),
        ("docker-compose.yml", "      POSTGRES_PASSWORD: postgres # here only\n"),
        ("config.json", '{"model_type": "bert", "eos_token": "x1234567", "auth": ""}'),
        ("tokenizer_token", "the quick brown fox jumps over 13 lazy dogs\n"),
        ("alembic.ini", "sqlalchemy.url = driver://user:pass@localhost/dbname\n"),
        ("superset_config.py", "SECRET_KEY = os.environ['SECRET_KEY']\n"),
        ("jupyter_server_config.py", "c.ServerApp.token = ''\nc.ServerApp.password = u''\n"),
        (
            "jupyter_server_config.json",
            '{"ServerApp": {"root_dir": "/work", "password_required": true}}',
        ),
        ("dagster.yaml", "      password:\n        env: PG_PASSWORD\n"),
        ("kibana.yml", "# elasticsearch.password: hunter2\nserver.port: 5601\n"),
        ("log4j.properties", "log4j.rootLogger=INFO, console\n"),
        ("wandb/settings", "[default]\nentity = me\nproject = x\n"),
        ("prefect.toml", "[api]\nurl = 'http://host:4200/api'\n"),
    ],
)
def test_settings_without_a_secret_travel(path: str, text: str) -> None:
    assert judged(path, text) is None


BARE = {
    "config": b"# ours\n[http]\n\textraheader = s3cret\n[core]\n\tbare = true\n",
    "config.worktree": b'[remote "o"]\n\turl = https://u:s3cret@host/x\n',
    "FETCH_HEAD": b"0\t\tbranch 'm' of https://u:s3cret@host/x\n",
    "logs/HEAD": b"0 1 A <a@b> 1 +0000\tclone: from https://u:s3cret@host/x\n" + b"\n" * 2**21,
    "HEAD": b"ref: refs/heads/main\n",
    "objects/info/packs": b"\n",
    "refs/heads/main": b"0\n",
    "hooks/post-receive": b"curl https://u:s3cret@host/x\n",
    "hooks/lib/run": b"curl https://u:s3cret@host/x\n",
}


@pytest.fixture
def with_bare(tmp_path: Path) -> Path:
    root = tmp_path / "with-bare"
    for name, content in BARE.items():
        path = root / "bare.git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / ".gitmodules").write_text('[submodule "x"]\n\turl = https://u:s3cret@host/x\n')
    return root


def commit(root: Path, *paths: str) -> str:
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(root))
    for words in (("init", "-q"), ("add", "-f", *paths), ("commit", "-q", "-m", "x")):
        subprocess.run([*git, *words], check=True)
    return subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def sent(context: BuildContext) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.chunks()))) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]


ALL = b"FROM a\nCOPY . ."


def test_the_image_gets_no_more_than_the_copy(project: Path) -> None:
    assert set(sent(BuildContext(project, ALL))) == {
        n for n in COPIED if not n.startswith(".git/")
    } | {"Dockerfile"}


@pytest.mark.parametrize("of_commit", [False, True])
def test_image_and_copy_get_the_same_of_a_bare_repository(
    with_bare: Path, tmp_path: Path, of_commit: bool
) -> None:
    version = commit(with_bare, ".") if of_commit else None
    (with_bare / "bare.git/x.lock").write_bytes(b"s3cret")
    made = tmp_path / "copy"
    found = copy_tree(with_bare, made, manifest=tmp_path / "m", commit=version, workers=1)
    seen = survey(with_bare, [], version)
    arrived = {
        name: (made / name).read_bytes() for name in files(made) if not name.startswith(".git/")
    }

    def tar() -> Iterator[bytes]:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as whole:
            whole.add(made, ".")
        yield archive.getvalue()

    assert not [name for name, content in arrived.items() if b"s3cret" in content]
    for context in (BuildContext(with_bare, ALL, version), BuildContext.from_tar(tar, ALL)):
        assert sent(context) == {**arrived, "Dockerfile": ALL}
    assert {f"{with_bare.name}/{r.name}" for r in found.changed} == {r.name for r in seen.changed}
    assert {f"{with_bare.name}/{r.name}" for r in found.skipped} == {
        r.name for r in seen.not_copied
    }


def test_an_archive_knows_a_bare_repository(with_bare: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as whole:
        whole.add(with_bare, ".")
    context = BuildContext.from_tar(iter([archive.getvalue()]), ALL)
    assert not [name for name, content in sent(context).items() if b"s3cret" in content]


@pytest.mark.parametrize("path", [".env", "notes.txt", ".git/hooks/pre-commit", "kaggle.json.old"])
def test_each_can_be_kept_and_the_result_says_so(project: Path, tmp_path: Path, path: str) -> None:
    seen = survey(project, [], None, keep=[path])
    arrived, found = copied(project, tmp_path, keep=(path,))
    assert arrived == {*COPIED, path}
    assert [row.name for row in found.chosen] == [path]
    assert [row.name for row in seen.kept] == [f"project/{path}"]
    assert seen.project.files == found.files
    assert b'"chosen"' in (tmp_path / "m.meta").read_bytes()


def test_all_that_the_plan_names_can_be_kept(project: Path, tmp_path: Path) -> None:
    keep = [str(row.keep) for row in survey(project, [], None).not_copied]
    seen = survey(project, [], None, keep=keep)
    arrived, found = copied(project, tmp_path, keep=tuple(kept_in(keep, project, project)))
    assert arrived == {*LEFT_OUT, *COPIED}
    assert not seen.not_copied and not seen.keep_unused
    assert {f"project/{row.name}" for row in found.chosen} == {row.name for row in seen.kept}


def test_what_is_never_copied_can_be_kept_in_data_only(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / ".ssh").mkdir(parents=True)
    (source / ".ssh/id_rsa").write_bytes(PEM % b"RSA ")
    keep = (".ssh",)
    assert copied(source, tmp_path, keep=keep)[0] == set()
    (tmp_path / "copy").rmdir()
    assert copied(source, tmp_path, keep=keep, data=True)[0] == {".ssh/id_rsa"}
    seen = survey(tmp_path / "source", [], None, keep=keep)
    assert not seen.kept and [row.keep for row in seen.not_copied] == [None]


def test_what_was_to_be_kept_and_kept_nothing_is_known(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / ".ssh").mkdir(parents=True)
    (data / ".ssh/id_rsa").write_bytes(PEM % b"RSA ")
    (project / ".ssh").mkdir()
    (project / ".ssh/id_rsa").write_bytes(PEM % b"RSA ")
    of_use = [".env", f"{project}/notes.txt", "sub/../kaggle.json.old", f"{data}/.ssh"]
    of_none = [
        *(
            "no/such",
            "../project",
            "a.py",
            ".git",
            ".ssh",
            str(data),
            str(tmp_path / "elsewhere/.env"),
        ),
        *(f"{data}/.ssh/no", "\x1b[2J"),
    ]

    seen = survey(project, [data], None, keep=[*of_use, *of_none])

    assert list(seen.keep_unused) == of_none
    assert survey_of(as_json(seen)).keep_unused == seen.keep_unused


def test_of_a_version_it_is_known_as_well(project: Path) -> None:
    shutil.rmtree(project / ".git")
    commit(project, ".env")

    seen = survey(project, [], "HEAD", keep=[".env", "notes.txt"])

    assert seen.keep_unused == ("notes.txt",)


def test_a_file_that_is_made_to_be_slow_to_judge_is_judged() -> None:
    """Each takes milliseconds; the time grew with the square or the power of the size, to minutes."""
    begin = b"-----BEGIN PRIVATE KEY-----\n"
    for data in (
        begin + b"A: " + b" " * 60_000,
        begin + b"A: b\\n" * 10_000,
        begin + b"A: b&#10;" * 6_000,
        begin * 2_000,
        b"PRIVATE KEY=" + b" " * 60_000,
        b"PRIVATE KEY" + b"- \n" * 20_000,
        b"password" * 8_000,
        b"{,\t" * 20_000,
        b"://a:" * 12_000,
        b"://" + b":" * 60_000,
        b"<name>" * 10_000,
        b"token = " + b" " * 60_000,
    ):
        for name in (
            b"x.pem",
            b".dvc/config",
            b"core-site.xml",
            b"superset_config.py",
            b"redis.conf",
            b"token",
        ):
            last = name.rpartition(b"/")[2]
            assert Selection().by_content(name, last, len(data), data) is None


def test_a_folder_is_kept_only_where_the_plan_names_it() -> None:
    found = Selection(["conf"]).by_name(b"conf/.env", b".env")
    assert found is not None and not found.kept


def test_a_line_that_copies_what_is_left_out_is_named(project: Path) -> None:
    (project / "Dockerfile").write_text("FROM a\nCOPY a.py .\nCOPY .env /app/\n")
    assert survey(project, [], None).needed == ((3, ".env"),)
    assert survey(project, [], None, keep=[".env"]).needed == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://host/x.git?private_token=s3cret",
        "https://host/x.git?a=1&access_token=s3cret&b=2",
        "https://u:s3cret@host/x.git",
        "https://host/x.git?sas=s3cret",
        "https://host/x.git?code=s3cret",
        "https://host/x.git?s3cret",
    ],
)
@pytest.mark.parametrize("name", [b"config", b".gitmodules", b".lfsconfig"])
def test_tokens_leave_the_addresses_of_remotes_and_submodules(name: bytes, url: str) -> None:
    text = f'[submodule "x"]\n\turl = {url}\n\tpath = x\n'
    clean = scrubbed(name, text.encode())
    assert clean == b'[submodule "x"]\n\turl = https://host/x.git\n\tpath = x\n'


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        (
            '[svn-remote "s"]\n\turl = svn://u:s3cret@host/x\n',
            '[svn-remote "s"]\n\turl = svn://u@host/x\n',
        ),
        ("[a]\n\turl = svn+ssh://u:s3cret@host/x\n", "[a]\n\turl = svn+ssh://u@host/x\n"),
        ("[gitlab]\n\tapiKey = s3cret\n\thost = h\n", "[gitlab]\n\thost = h\n"),
        ("[a]\n\taccess-key = s3cret\n", "[a]\n"),
        ("[user]\n\tsigningKey = mine\n", "[user]\n\tsigningKey = mine\n"),
    ],
)
def test_secrets_of_other_kinds_leave_a_configuration(line: str, clean: str) -> None:
    assert scrubbed(b"config", line.encode()).decode() == clean


def test_a_fetched_address_has_no_query_and_a_log_keeps_a_harmless_one() -> None:
    fetched = b"0\t\tbranch 'm' of https://host/x?s3cret\n"
    assert scrubbed(b"FETCH_HEAD", fetched) == b"0\t\tbranch 'm' of https://host/x\n"
    logged = b"0 1 A <a@b> 1 +0000\tcommit: see https://host/x?id=3\n"
    assert scrubbed(b"HEAD", logged) == logged
    assert b"s3cret" not in scrubbed(b"HEAD", b"clone: from https://host/x?sas=s3cret\n")


def test_what_is_cleaned_outside_of_a_repository_is_documented() -> None:
    told = (Path(__file__).parents[2] / "docs/users/what-is-copied.md").read_text()
    assert [name for name in SHARED if f"`{name.decode()}`" not in told] == []


def test_submodules_arrive_without_their_tokens(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / ".gitmodules").write_text('[submodule "x"]\n\turl = https://u:s3cret@host/x\n')
    (source / ".lfsconfig").write_text("[lfs]\n\turl = https://u:s3cret@host/x\n")
    copied(source, tmp_path)
    for name in (".gitmodules", ".lfsconfig"):
        assert b"s3cret" not in (tmp_path / "copy" / name).read_bytes()
    assert b"s3cret" not in b"".join(BuildContext(source, b"FROM a\nCOPY . .").chunks())


def test_a_key_stays_when_its_folder_changes_meanwhile(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "key.txt").write_bytes(PEM % b"")
    (source / "a").write_bytes(b"x")
    once = [True]

    def write(descriptor: int, data: memoryview) -> int:
        if once:
            once.clear()
            (source / "new").write_bytes(b"x")
        return os.write(descriptor, data)

    copy_tree(source, tmp_path / "copy", manifest=tmp_path / "m", workers=1, write=write)
    assert files(tmp_path / "copy") == {"a", "new"}
