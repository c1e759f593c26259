"""What a share keeps for its steps: documents of earlier versions, and whose an image is."""

from __future__ import annotations

from jupyter_secxops_migrate.engines.orders import BuildTrace
from jupyter_secxops_migrate.sharing.document import (
    Image,
    ShareDocument,
    Trace,
    goes_with,
    names_and_ids,
    shares_image,
)


def image(reference: str, digest: str = "sha256:1", *, pushed: bool = False) -> Image:
    return Image(reference=reference, digest=digest, size=1, pushed=pushed)


def test_of_two_names_of_an_equal_image_each_goes_with_its_last_share() -> None:
    x, y = image("secxops/a/x:1"), image("secxops/a/y:1")

    assert not shares_image({"2": ShareDocument(image=y)}, x)
    assert shares_image({"1": ShareDocument(image=x), "3": ShareDocument(image=y)}, y)
    # One that another share still has to remove counts as well.
    assert shares_image({"3": ShareDocument(images=[y])}, y)
    # A registry deletes by digest.
    pushed = ShareDocument(image=image("r/y:1", pushed=True))
    assert shares_image({"3": pushed}, image("r/x:1", pushed=True))


def test_of_images_in_a_registry_those_go_together_that_have_one_digest() -> None:
    last = image("r/x:2", pushed=True)

    assert goes_with(last, image("r/x:1", pushed=True))
    # One that was being pushed when the build was lost may be the same.
    assert goes_with(last, image("r/x:1", "", pushed=True))
    assert not goes_with(last, image("r/x:1", "sha256:2", pushed=True))
    # In an engine's own store each name goes by itself.
    assert not goes_with(last, image("x:1"))


def test_what_a_share_has_or_makes_is_known_by_name_and_by_id() -> None:
    trace = Trace.of(BuildTrace(layers=["one"], used=["two"]))
    making = ShareDocument(image=image("r/x:1", ""), builds=[trace])

    names, ids = names_and_ids([making], [image("r/y:1", "sha256:2")])

    assert names == {"r/x:1", "r/y:1"} and ids == {"one", "two", "sha256:2"}


def test_the_facts_that_an_earlier_version_kept_are_read() -> None:
    found = ShareDocument.model_validate(
        {
            "left": True,
            "moves": False,
            "keys": ["code"],
            "image": {"reference": "x:1", "digest": "sha256:1", "size": 5},
            "builds": [{"layers": ["a"], "used": [], "tip": "", "container": "", "began": 0.0}],
            "probe": {"uid": 1, "gid": 2, "home": "/home/j", "workdir": "/", "jupyter": []},
            "copies": {
                "code": {
                    "volume": "v",
                    "source": "/p",
                    "name": "p",
                    "files": 1,
                    "bytes": 2,
                    "manifest": "ab",
                    "owner": [1, 2],
                    "skipped": [{"name": "x", "reason": "y"}],
                }
            },
            "verified": [1, 2],
        }
    )

    assert found.left and found.version == 1
    built, probe = found.made()
    assert built.in_registry and probe.jupyter is None and probe.entrypoint == "none"
    (volume,) = found.volumes()
    assert volume.route == "copy" and volume.skipped[0].name == "x"
    assert found.copies["code"].owner == (1, 2) and found.transient() == [None]
    assert found.to_remove().builds == [Trace(layers=["a"])] and not found.to_remove().copies
