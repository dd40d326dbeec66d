"""The kinds of stores that the contract is tested over."""

from __future__ import annotations

import pytest

#: Each test runs over these. A Sentinel's master is a Redis like the others, and so is one with the
#: query engine, but for the search: these are added where they make a difference.
_KINDS = (
    "memory",
    "file",
    pytest.param("redis_server", marks=pytest.mark.redis, id="redis"),
    pytest.param("redis_cluster", marks=pytest.mark.redis, id="cluster"),
)
_SENTINEL = pytest.param("redis_watched", marks=pytest.mark.redis, id="sentinel")
_ENGINE = pytest.param("redis_engine", marks=[pytest.mark.redis, pytest.mark.engine], id="engine")
_MORE = {
    "test_log": [_SENTINEL],
    "test_search": [_ENGINE],
    "test_hidden_history": [_ENGINE],
    "test_extras": [_ENGINE],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the contract over the kinds of stores."""
    if "url" in metafunc.fixturenames:
        kinds = [*_KINDS, *_MORE.get(metafunc.module.__name__.rpartition(".")[2], ())]
        metafunc.parametrize("url", kinds, indirect=True)
