"""The page's routes. Each depends on Airflow's own login; none of them has to remember to.

They are plain functions, so FastAPI runs them in threads and Airflow's own pages go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, JSONResponse, Response

from gridferry.airflow.compat import is_a_teams, may_read_connection, user_of_page
from gridferry.airflow.page.choice import MOST_SIZE, SIZE, Choice, Only, Order
from gridferry.airflow.page.facts import PageFacts, figures_only
from gridferry.airflow.page.routes import JSON, PAGE
from gridferry.airflow.page.service import PageService
from gridferry.airflow.page.targets import connections_for
from gridferry.airflow.page.view import POLICY, render
from gridferry.airflow.settings import GRIDDB_DEFAULT

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_user = user_of_page()
User = Annotated[Any, Depends(_user)]


def make_app(service: PageService | None = None) -> FastAPI:
    """The app that the plugin mounts."""
    # Without pages of its own: FastAPI would show its documentation to everybody.
    app = FastAPI(title="gridferry", openapi_url=None, docs_url=None, redoc_url=None, dependencies=[Depends(_user)])
    shown_by = service or PageService()

    @app.middleware("http")
    async def with_headers(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        response.headers.update(_HEADERS)
        return response

    def facts_for(choice: Choice, user: Any) -> PageFacts:
        facts = shown_by.page(choice, connections_for(user))
        return facts if may_read_connection(choice.connection, user) else figures_only(facts)

    @app.get(PAGE, response_class=HTMLResponse)
    def parity(choice: Annotated[Choice, Depends(choice_of)], user: User) -> HTMLResponse:
        # A problem is shown by the page, whatever is between it and the viewer: no proxy replaces a 200.
        return HTMLResponse(render(facts_for(choice, user), choice))

    @app.get(JSON)
    def parity_facts(choice: Annotated[Choice, Depends(choice_of)], user: User) -> JSONResponse:
        facts = facts_for(choice, user)
        status = facts.problem.status if facts.problem is not None else 200
        return JSONResponse(jsonable_encoder(facts), status_code=status)

    return app


def choice_of(
    user: User,
    connection: Annotated[str, Query(max_length=250)] = GRIDDB_DEFAULT,
    table: Annotated[str, Query(max_length=300)] = "",
    q: Annotated[str, Query(max_length=300)] = "",
    only: Only = Only.ALL,
    sort: Order = Order.NEED,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    size: Annotated[int, Query(ge=1, le=MOST_SIZE)] = SIZE,
) -> Choice:
    """The choice that an address makes.

    Whoever may see plugins sees the figures of the default connection. Raises: HTTPException 403 for another one that
    Airflow does not let the user read, whether there is such a one or not, and for one of somebody else's team.
    """
    figures = connection == GRIDDB_DEFAULT and not is_a_teams(connection)
    if not figures and not may_read_connection(connection, user):
        raise HTTPException(403, "Forbidden")
    return Choice(connection, table, q, only, sort, page, size)
