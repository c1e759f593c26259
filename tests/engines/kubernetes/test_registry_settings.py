"""Which of a site's registries the engine pushes to, and what the settings of the release before do."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from jupyter_secxops_migrate.engines.kubernetes.settings import KubernetesSettings
from jupyter_secxops_migrate.registries import OciRegistry

SITE = {
    "default": {"address": "r.example", "prefix": "shares", "credentials": "push", "ca": "ca"},
    "release": {"address": "release.example"},
}


def settings(named: Any = None, **engine: Any) -> KubernetesSettings:
    """Settings as a file of an admin's has them; the engine's own section bears the engine's name."""

    class KubernetesEngine(KubernetesSettings):
        pass

    config = Config({"Registries": {"named": named or {}}, "KubernetesEngine": engine})
    return KubernetesEngine(config=config)


def test_an_engine_pushes_to_the_registry_that_it_names(caplog: pytest.LogCaptureFixture) -> None:
    found = settings(SITE)
    assert (found.pushes_to.place, found.push_secret) == ("r.example/shares", "push")
    other = settings(SITE, registry_name="release", pull_secret="pull")
    assert (other.pushes_to.place, other.push_secret) == ("release.example", "pull")
    assert settings().pushes_to.place == ""
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("named", "engine", "words"),
    [
        (SITE, {"registry_name": "prod"}, "'prod'"),
        ({"default": {"address": "r", "kind": "harbour"}}, {}, "there are: oci"),
        ({"default": {"address": "r", "ca": "/etc/ca.crt"}}, {}, "default.ca is a path"),
    ],
)
def test_what_an_engine_can_not_use_is_told(named: Any, engine: Any, words: str) -> None:
    with pytest.raises(TraitError, match=words):
        _ = settings(named, **engine).pushes_to


def test_settings_of_the_release_before_make_the_default_registry_and_warn_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = settings(registry_address="old.example/x", registry_secret="s", registry_ca="c")

    for _ in range(3):
        assert found.pushes_to.place == "old.example/x"

    assert (found.push_secret, found.pushes_to.ca) == ("s", "c")
    assert found.pushes_to.kind is OciRegistry
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "KubernetesEngine.registry_address" in caplog.text
    assert "Registries.named" in caplog.text


def test_a_named_registry_goes_before_settings_of_the_release_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert settings(SITE, registry_address="old.example/x").pushes_to.place == "r.example/shares"
    assert "are not used" in caplog.text


def test_the_environment_names_the_default_registry_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SECXOPS_REGISTRY", "env.example/x")
    assert settings().pushes_to.place == "env.example/x"
    assert caplog.text == ""
    assert settings(SITE).pushes_to.place == "r.example/shares"
