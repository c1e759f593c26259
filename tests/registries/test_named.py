"""Registries that an admin has named: what a description may say, and who speaks to what it names."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from jupyter_secxops_migrate.registries import NamedRegistry, OciRegistry, Registries
from jupyter_secxops_migrate.registries.kinds import connect, load
from registries import registry as own


def described(**registry: Any) -> Registries:
    return Registries(config=Config({"Registries": {"named": {"release": registry}}}))


def test_a_registry_is_what_its_description_says() -> None:
    site = described(address="r.example:5000/", prefix="/shares", ca="authority", plain_http=True)
    found = site.get("release")
    assert found is not None
    assert (found.kind, found.place, found.ca) == ("oci", "r.example:5000/shares", "authority")
    assert found.plain_http
    assert site.get("other") is None
    assert Registries().get("default") is None


@pytest.mark.parametrize(
    ("registry", "place"),
    [
        ({"address": "r.example", "password": "s3cret"}, "release.password"),
        ({"address": "https://r.example"}, "leave out the scheme"),
        ({"address": "me:s3cret@r.example"}, "no account"),
        ({"address": "r.example", "plain_http": "s3cret"}, "release.plain_http"),
        ({"prefix": "s3cret"}, "no address"),
    ],
)
def test_a_description_that_can_not_be_used_is_told_without_what_it_says(
    registry: dict[str, Any], place: str
) -> None:
    with pytest.raises(TraitError, match=r"Registries\.named\.release") as told:
        described(**registry)
    assert place in str(told.value)
    assert "s3cret" not in str(told.value)


class Gated(OciRegistry):
    """A product of one's own."""


def test_a_kind_is_ours_or_a_class_of_somebodys() -> None:
    assert load("oci") is OciRegistry
    assert load(f"{own.__name__}.Registry") is own.Registry
    for kind in (Gated, f"{__name__}.Gated"):
        found = connect(NamedRegistry(kind=kind, address="r.example"), "", "", "")
        assert type(found).__name__ == "Gated"
    with pytest.raises(ValueError, match=r"no kind of registry .harbour.; there are: .*oci"):
        load("harbour")
    with pytest.raises(ValueError, match="can't be loaded"):
        load("no.such.Class")


def test_a_registry_without_tls_is_spoken_to_without() -> None:
    found = connect(NamedRegistry(address="r.example", plain_http=True), "", "", "")
    assert isinstance(found, OciRegistry)
    assert found._is_own("http://r.example/v2/")
    assert not found._is_own("https://r.example/v2/")


def test_what_does_not_know_plain_http_is_not_asked_for_it() -> None:
    class Older(OciRegistry):
        def __init__(self, address: str, user: str, password: str, ca: str, renew: Any) -> None:
            super().__init__(address, user, password, ca, renew)

    assert isinstance(connect(NamedRegistry(kind=Older, address="r"), "", "", ""), Older)
