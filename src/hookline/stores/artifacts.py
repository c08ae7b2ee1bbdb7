"""How an artifact becomes a row and back, for both adapters."""

from __future__ import annotations

from typing import Final

from hookline.model.executions import Artifact
from hookline.stores.rows.table import AS_IS, INSTANT, Table

_ARTIFACTS: Final = Table(
    Artifact,
    execution_id=AS_IS,
    name=AS_IS,
    content_type=AS_IS,
    size=AS_IS,
    digest=AS_IS,
    blob_id=AS_IS,
    created_at=INSTANT,
)

ARTIFACT = _ARTIFACTS.columns
artifact_row, artifact_from = _ARTIFACTS.row, _ARTIFACTS.value
