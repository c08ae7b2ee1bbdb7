"""``/api/templates`` and ``/api/render/template``: movies with blanks (SEEDS PF-10).

    POST /api/templates        {"name", "script": movie with {{blanks}}, "is_public"?}
    POST /api/render/template  {"template_id", "variables"?, "webhook_uri"?, "metadata"?}

A public template can be rendered and read by every organization of the server; only its own can delete it.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from hookline.api.documents import Documents
from hookline.api.identity import Caller
from hookline.api.jobs import start_job
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    RawBody,
    Reader,
    Starter,
    Writer,
    member,
    no_content,
    raw,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.core.canonical import decode
from hookline.core.movie.template import blanks_of, fill
from hookline.engine.manage.organizations import check_name
from hookline.errors import MissingError
from hookline.model.configuration import Stored
from hookline.model.ids import new_key, parse, public
from hookline.model.movies import MovieTemplate

router = APIRouter(tags=["render jobs"])

_TEMPLATES: Final = Documents(MovieTemplate, "template", "templates")


class NewTemplate(Body):
    """script: a movie whose texts hold `{{name}}`; it is judged as a movie when it is rendered."""

    name: str
    script: dict[str, Any]
    is_public: bool = False


class Filling(Body):
    """variables: a value for each blank.  webhook_uri, metadata: in place of the template's."""

    template_id: str
    variables: Annotated[dict[str, Any], Field(default_factory=dict)]
    webhook_uri: str | None = None
    metadata: Any = None


@router.post("/api/templates", status_code=201, summary="Store a movie template")
async def create(site: AtSite, caller: Writer, body: NewTemplate, raw_body: RawBody) -> Response:
    script = member(raw_body, "script") or b"{}"
    blanks_of(script)
    template = MovieTemplate(name=check_name(body.name), script=script.decode(), is_public=body.is_public)
    services = site.services
    stored = await services.store.add(
        MovieTemplate,
        id=new_key(),
        organization_id=caller.organization_id,
        document=template,
        names=[],
        at=services.clock.now(),
    )
    return reply(_view(stored), 201)


@router.get("/api/templates", summary="List movie templates of one's own")
async def list_all(site: AtSite, caller: Reader, page: AtPage) -> Response:
    return await _TEMPLATES.list(site, caller.organization_id, page, _view)


@router.get("/api/templates/{template_id}", summary="Show a movie template with its script")
async def show(site: AtSite, caller: Reader, template_id: str) -> Response:
    stored = await _found(site, caller, template_id)
    return reply(_view(stored) | {"script": raw(stored.document.script.encode())})


@router.delete("/api/templates/{template_id}", status_code=204, summary="Delete a movie template")
async def delete(site: AtSite, caller: Writer, template_id: str) -> Response:
    id = parse("template", template_id)
    services = site.services
    if id is None or not await services.store.delete(
        MovieTemplate, id, organization_id=caller.organization_id, at=services.clock.now()
    ):
        raise _missing()
    return no_content()


@router.post("/api/render/template", status_code=202, summary="Render a movie template")
async def render(site: AtSite, caller: Starter, body: Filling, raw_body: RawBody) -> Response:
    stored = await _found(site, caller, body.template_id)
    given = decode(raw_body)
    more = {name: given[name] for name in ("webhook_uri", "metadata") if given.get(name) is not None}
    movie = fill(stored.document.script.encode(), given.get("variables") or {}, more)
    return await start_job(site, caller, movie)


async def _found(site: Site, caller: Caller, template_id: str) -> Stored[MovieTemplate]:
    """One's own, or a public one; any other is as missing as one that never was."""
    id = parse("template", template_id)
    stored = None if id is None else await site.services.store.get(MovieTemplate, id, organization_id=None)
    if stored is None or not (stored.document.is_public or stored.organization_id == caller.organization_id):
        raise _missing()
    return stored


def _missing() -> MissingError:
    return MissingError("There is no such template.", code="TEMPLATE_NOT_FOUND", field="template_id")


def _view(stored: Stored[MovieTemplate]) -> dict[str, Any]:
    template = stored.document
    return {
        "template_id": public("template", stored.id),
        "name": template.name,
        "is_public": template.is_public,
        "variables": blanks_of(template.script.encode()),
        "created_at": when(stored.created_at),
    }
