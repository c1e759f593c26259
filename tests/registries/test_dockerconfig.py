"""Credentials of a Docker configuration, found as the docker program and kubelets find them."""

from __future__ import annotations

import base64

import pytest

from jupyter_secxops_migrate.registries.dockerconfig import (
    IDENTITY_TOKEN,
    UnusableConfig,
    credentials,
    helper,
)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("key", "address"),
    [
        # Cases of docker/cli and of the kubelet's keyring (Apache-2.0), chosen.
        ("example.com", "example.com"),
        ("http://example.com", "example.com"),
        ("https://example.com/", "example.com"),
        ("https://example.com/v2/", "example.com"),
        ("http://example.com:6555", "example.com:6555"),
        ("https://127.0.0.1:6555/v2/", "127.0.0.1:6555"),
        ("https://[::1]:6555/v2/", "[::1]:6555"),
        ("http://legacy.example/v1/", "legacy.example"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("https://index.docker.io/v1/", "index.docker.io"),
        ("docker.io", "docker.io"),
        ("example.com", "example.com/team"),
        ("example.com/team", "example.com/team"),
        ("example.com/team", "example.com/team/sub"),
        ("[::1]", "[::1]"),
        ("https://*.example.io", "prefix.example.io"),
        ("https://*.example.io/v2/", "prefix.example.io"),
        ("https://prefix.*.io", "prefix.example.io"),
        ("prefix.example.*", "prefix.example.io"),
        ("*.example.io:1111", "prefix.example.io:1111"),
    ],
)
def test_a_key_is_found_for_its_registry(key: str, address: str) -> None:
    assert credentials({"auths": {key: {"auth": encoded("me:a:b")}}}, address) == ("me", "a:b")


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("example.com", "other.com"),
        ("example.com:5000", "example.com"),
        ("example.com", "example.com:5000"),
        ("example.com/team", "example.com"),
        ("example.com/team", "example.com/teams"),
        ("*.example.io", "example.io"),
        ("https://suffix.*.io", "prefix.example.io"),
        ("*.example.io", "a.b.example.io"),
        ("*.example.io:1234", "a.example.io:1111"),
    ],
)
def test_a_key_is_not_taken_for_anothers(key: str, address: str) -> None:
    assert credentials({"auths": {key: {"auth": encoded("me:x")}}}, address) == ("", "")


def test_the_most_specific_key_goes_first() -> None:
    auths = {
        "*.com": {"username": "all", "password": "x"},
        "example.com": {"username": "host", "password": "x"},
        "example.com/team": {"username": "team", "password": "x"},
    }
    for order in (list(auths), list(reversed(auths))):
        config = {"auths": {key: auths[key] for key in order}}
        assert credentials(config, "example.com/team")[0] == "team"
        assert credentials(config, "example.com/other")[0] == "host"
        assert credentials(config, "other.com")[0] == "all"


@pytest.mark.parametrize(
    ("auth", "found"),
    [
        ("Zm9vOmJhcg==", ("foo", "bar")),
        ("Zm9vOmJhcg", ("foo", "bar")),
        ("Zm9vOm\nJhcg==\n", ("foo", "bar")),
        (encoded("foo:bar\0\0"), ("foo", "bar")),
        (encoded("jürgen:päss"), ("jürgen", "päss")),
    ],
)
def test_an_auth_is_read_as_forgivingly_as_docker_does(auth: str, found: tuple[str, str]) -> None:
    assert credentials({"auths": {"h": {"auth": auth}}}, "h") == found


@pytest.mark.parametrize(
    "config",
    [
        [],
        {"auths": []},
        {"auths": "secret"},
        {"auths": {"h": None}},
        {"auths": {"h": "secret"}},
        {"auths": {"h": {"auth": 5}}},
        {"auths": {"h": {"auth": "secret!"}}},
        {"auths": {"h": {"auth": encoded("secret")}}},
        {"auths": {"h": {"auth": encoded(":secret")}}},
        {"auths": {"h": {"auth": encoded("a:b"), "identitytoken": ["secret"]}}},
        {"auths": {"h": {"auth": base64.b64encode(b"\xff:secret").decode()}}},
    ],
)
def test_a_malformed_configuration_is_told_without_its_content(config: object) -> None:
    with pytest.raises(UnusableConfig) as caught:
        credentials(config, "h")
    assert "secret" not in str(caught.value)


def test_an_identity_token_goes_before_the_password_beside_it() -> None:
    row = {"auth": encoded("00000000-0000-0000-0000-000000000000:"), "identitytoken": "eyJ"}
    assert credentials({"auths": {"h": row}}, "h") == (IDENTITY_TOKEN, "eyJ")


@pytest.mark.parametrize(
    ("config", "address", "program"),
    [
        ({"credsStore": "desktop"}, "h", "desktop"),
        ({"credsStore": "desktop", "credHelpers": {"h": "gcloud"}}, "h/team", "gcloud"),
        ({"credHelpers": {"https://index.docker.io/v1/": "pass"}}, "docker.io", "pass"),
        ({"credHelpers": {"other": "gcloud"}}, "h", ""),
        ({"credsStore": "../bin/sh"}, "h", ""),
        ({"credsStore": 5, "credHelpers": ["h"]}, "h", ""),
        ([], "h", ""),
    ],
)
def test_the_helper_is_known_that_docker_would_ask(
    config: object, address: str, program: str
) -> None:
    assert helper(config, address) == program


@pytest.mark.parametrize(
    "config", [{}, {"auths": None}, {"credsStore": "pass"}, {"auths": {"h": {}}}]
)
def test_without_an_entry_there_are_no_credentials(config: object) -> None:
    assert credentials(config, "h") == ("", "")
