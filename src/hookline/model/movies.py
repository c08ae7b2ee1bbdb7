"""Movie templates: movies with blanks, which people store once and render often (PF-10)."""

from __future__ import annotations

from typing import ClassVar

from hookline.model.configuration import Document


class MovieTemplate(Document, frozen=True, kw_only=True):
    """script: JSON text of a movie whose texts hold ``{{name}}``.  is_public: every organization may render it."""

    kind: ClassVar[str] = "movie_template"
    name: str
    script: str
    is_public: bool = False
