"""How an artifact becomes a row and back, for both adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.model.executions import Artifact
from hookline.stores.rows import from_ms, to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.stores.rows import Row

ARTIFACT: Final = ("execution_id", "name", "content_type", "size", "digest", "blob_id", "created_at")


def artifact_row(artifact: Artifact) -> Row:
    return (
        artifact.execution_id,
        artifact.name,
        artifact.content_type,
        artifact.size,
        artifact.digest,
        artifact.blob_id,
        to_ms(artifact.created_at),
    )


def artifact_from(row: Sequence[Any]) -> Artifact:
    return Artifact(
        execution_id=row[0],
        name=row[1],
        content_type=row[2],
        size=row[3],
        digest=row[4],
        blob_id=row[5],
        created_at=from_ms(row[6]),
    )
