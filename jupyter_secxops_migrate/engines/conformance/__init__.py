"""What every engine has to do, as tests that its author runs: after restic's suite for its back ends.

A test module of the engine derives a class from `Conformance` and gives it one fixture, ``bench``::

    from jupyter_secxops_migrate.engines.conformance import Bench, Conformance

    class TestMine(Conformance):
        @pytest.fixture(scope="class")
        @classmethod
        def bench(cls, tmp_path_factory):
            ...
            yield Bench(engine, project, data, dockerfile, folder, broken)

pytest does the rest. It takes pytest, and an engine that makes real things: what a test makes it removes.
"""

from .bench import FILES, Bench
from .suite import Conformance

__all__ = ["FILES", "Bench", "Conformance"]
