"""Documents of configuration as routes name and show them: one by the id in a path, many in pages.

An id that cannot be one, that nobody has, or that is another organization's answers alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hookline.api.reply import found_or_missing, key_in_path
from hookline.model.configuration import Document, Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from hookline.api.reply import Page
    from hookline.api.services import Site
    from hookline.model.ids import Key

D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True)
class Documents(Generic[D]):
    """Documents of one kind.

    word: names their ids and stands in refusals.  plural: the member of a list's answer.
    """

    kind: type[D]
    word: str
    plural: str

    async def find(self, site: Site, organization_id: Key, id_in_path: str) -> Stored[D]:
        """Return the document that a path names. Raises MissingError."""
        id = key_in_path(self.word, id_in_path)
        stored = await site.services.store.get(self.kind, id, organization_id=organization_id)
        return found_or_missing(stored, self.word)

    async def list(
        self, site: Site, organization_id: Key | None, page: Page, view: Callable[[Stored[D]], Any]
    ) -> Response:
        """Answer with a page of them. organization_id None: of all, for whoever may see all."""
        found = await site.services.store.list(
            self.kind, organization_id=organization_id, before=page.before, limit=page.enough
        )
        return page.reply(self.plural, found, lambda stored: stored.id, view)
