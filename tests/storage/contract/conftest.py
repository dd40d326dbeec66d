"""The kinds of stores that the contract is tested over."""

from __future__ import annotations

from typing import Any

import pytest

#: Each test runs over these: a file of SQLite, and a Redis Cluster, which does all that a single
#: Redis does, and is more strict.
_KINDS = ("file", pytest.param("redis_cluster", marks=pytest.mark.redis, id="cluster"))
#: These are added where they make a difference; nearly all tests of servers and of the chat's rules
#: run over the first, and those of several servers over the second.
_MEMORY = "memory"
_REDIS = pytest.param("redis_server", marks=pytest.mark.redis, id="redis")
_SENTINEL = pytest.param("redis_watched", marks=pytest.mark.redis, id="sentinel")
_ENGINE = pytest.param("redis_engine", marks=[pytest.mark.redis, pytest.mark.engine], id="engine")
_MORE: dict[str, list[Any]] = {
    "test_log": [_MEMORY, _REDIS, _SENTINEL],
    "test_conversations": [_MEMORY, _REDIS],
    "test_administration": [_MEMORY],
    "test_search": [_MEMORY, _REDIS, _ENGINE],
    "test_hidden_history": [_ENGINE],
    "test_extras": [_ENGINE],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the contract over the kinds of stores."""
    if "url" in metafunc.fixturenames:
        kinds = [*_KINDS, *_MORE.get(metafunc.module.__name__.rpartition(".")[2], ())]
        metafunc.parametrize("url", kinds, indirect=True)
