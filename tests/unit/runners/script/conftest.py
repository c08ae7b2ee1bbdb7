"""Every set of walls that a machine may give, for those who must hold behind each."""

from __future__ import annotations

import pytest
from walls_bed import WAYS, raise_walls


@pytest.fixture(params=WAYS)
def walls(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> str:
    way = str(request.param)
    raise_walls(way, monkeypatch, tmp_path_factory.mktemp("sandbox"))
    return way
