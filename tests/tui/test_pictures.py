"""The pictures of the documentation show the app as it is. ``make pictures`` takes them again."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def _load() -> ModuleType:
    """Import docs/pictures.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("gochat_docs_pictures", DOCS / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pictures = _load()


@pytest.mark.anyio
@pytest.mark.parametrize("name", pictures.SCENES)
async def test_a_picture_shows_the_app_as_it_is(name: str) -> None:
    kept = (DOCS / "images" / f"{name}.svg").read_text(encoding="utf-8")
    assert await pictures.take(name) == kept, "`make pictures` takes it again; look at it then"
