"""The knowledge room over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Literal, Protocol, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from skep.jobs import Job, Jobs
from skep.knowledge.interfaces import (
    CollectionNameError,
    CollectionNotFoundError,
    DocumentNotFoundError,
    FolderNotAbsoluteError,
    FolderUnknownError,
    LineNotFoundError,
    LocationInvalidError,
    NoFolderHereError,
    NothingIndexedError,
    QueryEmptyError,
    QueryTooLongError,
    TopKOutOfRangeError,
    UnknownFilterError,
)
from skep.knowledge.models import (
    CollectionStatus,
    Kind,
    RemovalReport,
    SearchRequest,
    SearchResponse,
    SearchResult,
)
from skep.knowledge.service import Knowledge
from skep.knowledge.tasks import folders_to_index, index_order, verify_order
from skep.web import Call, Endpoint, json_answer

_SEARCH_ERRORS = (NothingIndexedError, CollectionNotFoundError, TopKOutOfRangeError)


class Services(Protocol):
    """What the routes need."""

    @property
    def knowledge(self) -> Knowledge:
        """Collections."""

    @property
    def jobs(self) -> Jobs:
        """Background work."""

    @property
    def node(self) -> str:
        """This machine."""


class _Body(BaseModel):
    # A misspelt filter must not be a filter that lets everything through.
    model_config = ConfigDict(extra="forbid", strict=False, frozen=True, defer_build=True)


class SearchBody(_Body):
    """A question with its filters; empty filters let everything through."""

    query: str = Field(description="A question in words, or the name of a symbol.")
    top_k: int | None = Field(None, description="Most results; the setting search.default_top_k when left out.")
    collections: list[str] = Field([], description="Names of collections; all when empty.")
    languages: list[str] = Field([], description="Such as python or markdown.")
    path: str | None = Field(None, description="A pattern for the path, such as src/**/*.py.")
    kinds: list[str] = Field([], description="Of code, docs, config.")
    modified_since: AwareDatetime | None = Field(None, description="Files modified at this time or later.")
    modified_until: AwareDatetime | None = Field(None, description="Files modified at this time or earlier.")
    explain: bool = Field(default=False, description="Say what each rule did to each score.")


class SimilarQuery(_Body):
    """A line of a document whose like is wanted."""

    location: str = Field(description="PATH:LINE, the path as results print it.")
    top_k: int | None = Field(None, description="Most results; the setting search.default_top_k when left out.")
    explain: bool = Field(default=False, description="Say what each rule did to each score.")


class CreateBody(_Body):
    """A new collection."""

    name: str = Field(description="1 to 200 letters, digits, dots, dashes or underscores.")


class IndexBody(_Body):
    """What to index."""

    path: str | None = Field(
        None,
        description="Full path of a folder, or of a part of a known one, on the server's machine. Left out: all folders"
        " the collection is indexed from. Only an admin may name a folder that is not known yet.",
    )


class RemoveQuery(_Body):
    """How thoroughly to remove."""

    mode: Literal["forget", "purge"] | None = Field(
        None,
        description="forget: no longer findable, kept for the retention time. purge: erased for good (role admin)."
        " Left out: purge for a collection, forget for a document.",
    )


def knowledge_endpoints(services: Callable[[], Services], *, default_top_k: int) -> tuple[Endpoint, ...]:
    """The routes. ``services`` is asked in each call; it may raise an UnavailableError."""
    return (
        *_searching(services, default_top_k),
        *_collections(services),
        *_removing(services),
        *_jobs(services),
    )


def search_object(response: SearchResponse) -> dict[str, object]:
    """The answer as JSON has it: explanations only when they were asked for, ``behind`` only when something is,
    ``embedded_fraction`` only where meanings are searched.
    """
    found: dict[str, object] = {
        "results": [_result_object(result) for result in response.results],
        "took_ms": response.took_ms,
    }
    if response.embedded_fraction is not None:
        found["embedded_fraction"] = round(response.embedded_fraction, 3)
    return found | {"behind": response.behind} if response.behind else found


def _result_object(result: SearchResult) -> dict[str, object]:
    found: dict[str, object] = {
        "collection": result.collection,
        "path": result.path,
        "start_line": result.start_line,
        "end_line": result.end_line,
        "symbol": result.symbol,
        "heading": result.heading,
        "language": result.language,
        "kind": result.kind,
        "score": result.score,
        "text": result.text,
    }
    return found | {"explanation": result.explanation} if result.explanation else found


def _searching(services: Callable[[], Services], default_top_k: int) -> tuple[Endpoint, ...]:
    async def search(call: Call) -> ASGIApp:
        body = await call.body(SearchBody)
        request = SearchRequest(
            query=body.query,
            top_k=default_top_k if body.top_k is None else body.top_k,
            collections=tuple(body.collections),
            languages=tuple(body.languages),
            path_glob=body.path,
            kinds=cast("tuple[Kind, ...]", tuple(body.kinds)),  # the search itself names the known ones
            modified_since=None if body.modified_since is None else int(body.modified_since.timestamp()),
            modified_until=None if body.modified_until is None else int(body.modified_until.timestamp()),
            explain=body.explain,
        )
        return json_answer(search_object(await services().knowledge.search(call.principal, request)))

    async def similar(call: Call) -> ASGIApp:
        query = call.query(SimilarQuery)
        request = SearchRequest(
            query="",
            top_k=default_top_k if query.top_k is None else query.top_k,
            collections=(call.path("name"),),
            explain=query.explain,
        )
        found = await services().knowledge.similar(call.principal, query.location, request)
        return json_answer(search_object(found))

    return (
        Endpoint(
            method="POST",
            path="/api/v1/search",
            caller="reader",
            handle=search,
            summary="Find the best passages for a question",
            body=SearchBody,
            answer=SearchResponse,
            body_example={"query": "where are retries configured", "top_k": 3, "kinds": ["code"]},
            answer_example=_SEARCH_EXAMPLE,
            errors=(QueryEmptyError, QueryTooLongError, UnknownFilterError, *_SEARCH_ERRORS),
        ),
        Endpoint(
            method="GET",
            path="/api/v1/collections/{name}/similar",
            caller="reader",
            handle=similar,
            summary="Find passages like the one at a line of a document",
            query=SimilarQuery,
            answer=SearchResponse,
            answer_example=_SEARCH_EXAMPLE,
            errors=(LocationInvalidError, DocumentNotFoundError, LineNotFoundError, *_SEARCH_ERRORS),
        ),
    )


def _collections(services: Callable[[], Services]) -> tuple[Endpoint, ...]:
    async def status(call: Call) -> ASGIApp:
        return json_answer({"collections": await services().knowledge.status(call.principal)})

    async def show(call: Call) -> ASGIApp:
        return json_answer(await _status_of(services(), call, call.path("name")))

    async def create(call: Call) -> ASGIApp:
        body = await call.body(CreateBody)
        await services().knowledge.create_collection(call.principal, body.name)
        made = await _status_of(services(), call, body.name)
        return json_answer(made, HTTPStatus.CREATED, {"location": f"/api/v1/collections/{body.name}"})

    return (
        Endpoint(
            method="GET",
            path="/api/v1/collections",
            caller="reader",
            handle=status,
            summary="List the collections: what they hold, and how fresh the index is",
            answer=dict[Literal["collections"], list[CollectionStatus]],
            answer_example={"collections": [_STATUS_EXAMPLE]},
        ),
        Endpoint(
            method="POST",
            path="/api/v1/collections",
            caller="member",
            handle=create,
            summary="Make an empty collection; nothing happens when it exists",
            body=CreateBody,
            answer=CollectionStatus,
            status=HTTPStatus.CREATED,
            body_example={"name": "app"},
            answer_example=_STATUS_EXAMPLE,
            errors=(CollectionNameError,),
        ),
        Endpoint(
            method="GET",
            path="/api/v1/collections/{name}",
            caller="reader",
            handle=show,
            summary="Show one collection",
            answer=CollectionStatus,
            answer_example=_STATUS_EXAMPLE,
            errors=(CollectionNotFoundError,),
        ),
    )


def _removing(services: Callable[[], Services]) -> tuple[Endpoint, ...]:
    async def remove(call: Call) -> ASGIApp:
        mode = call.query(RemoveQuery).mode or "purge"
        return json_answer(await _remove(services(), call, None, mode))

    async def remove_documents(call: Call) -> ASGIApp:
        mode = call.query(RemoveQuery).mode or "forget"
        return json_answer(await _remove(services(), call, call.path("path"), mode))

    return (
        Endpoint(
            method="DELETE",
            path="/api/v1/collections/{name}",
            caller="member",
            handle=remove,
            summary="Purge a collection, or forget all its documents",
            query=RemoveQuery,
            answer=RemovalReport,
            answer_example=_REMOVAL_EXAMPLE,
            errors=(CollectionNotFoundError,),
        ),
        Endpoint(
            method="DELETE",
            path="/api/v1/collections/{name}/documents/{path:path}",
            caller="member",
            handle=remove_documents,
            summary="Forget a document or a folder of them, or purge it",
            query=RemoveQuery,
            answer=RemovalReport,
            answer_example=_REMOVAL_EXAMPLE,
            errors=(CollectionNotFoundError, DocumentNotFoundError),
        ),
    )


def _jobs(services: Callable[[], Services]) -> tuple[Endpoint, ...]:
    async def index(call: Call) -> ASGIApp:
        body, here, name = await call.body(IndexBody), services(), call.path("name")
        await folders_to_index(here.knowledge, here.node, call.principal, name, body.path)
        return _accepted(
            await here.jobs.submit(call.principal.project_id, index_order(call.principal, name, body.path))
        )

    async def verify(call: Call) -> ASGIApp:
        here, name = services(), call.path("name")
        await _status_of(here, call, name)
        return _accepted(await here.jobs.submit(call.principal.project_id, verify_order(call.principal, name)))

    return (
        Endpoint(
            method="POST",
            path="/api/v1/collections/{name}/index",
            caller="member",
            handle=index,
            summary="Index a folder, or bring the collection up to date, as a job",
            description="A request for what already waits gives the waiting job back.",
            body=IndexBody,
            answer=Job,
            status=HTTPStatus.ACCEPTED,
            body_example={"path": "/srv/app"},
            errors=(CollectionNotFoundError, FolderNotAbsoluteError, FolderUnknownError, NoFolderHereError),
        ),
        Endpoint(
            method="POST",
            path="/api/v1/collections/{name}/verify",
            caller="member",
            handle=verify,
            summary="Compare the index with one rebuilt from the stored originals, as a job",
            answer=Job,
            status=HTTPStatus.ACCEPTED,
            errors=(CollectionNotFoundError,),
        ),
    )


async def _status_of(services: Services, call: Call, name: str) -> CollectionStatus:
    found = {entry.collection: entry for entry in await services.knowledge.status(call.principal)}
    if name not in found:
        raise CollectionNotFoundError(what="collection", name=name, known=", ".join(found) or "none")
    return found[name]


async def _remove(services: Services, call: Call, path: str | None, mode: str) -> RemovalReport:
    work = services.knowledge.purge if mode == "purge" else services.knowledge.forget
    return await work(call.principal, call.path("name"), path)


def _accepted(job: Job) -> ASGIApp:
    return json_answer(job, HTTPStatus.ACCEPTED, {"location": f"/api/v1/jobs/{job.job_id}"})


_SEARCH_EXAMPLE = {
    "results": [
        {
            "collection": "app",
            "path": "src/app/http.py",
            "start_line": 40,
            "end_line": 61,
            "symbol": "Session.retry",
            "heading": None,
            "language": "python",
            "kind": "code",
            "score": 12.731,
            "text": "def retry(self, times: int = 3) -> None:\n    ...",
        }
    ],
    "took_ms": 1.9,
}
_STATUS_EXAMPLE = {
    "collection": "app",
    "sources": [
        {
            "root": "/srv/app",
            "node": "build-1f3a",
            "scanned_at": "2026-11-20T10:13:00Z",
            "watch": {"method": "events", "notice": "", "lag_ms": 92.4, "looks": 17},
        }
    ],
    "files": 214,
    "chunks": 2310,
    "languages": {"python": 190, "markdown": 24},
    "last_seq": 214,
    "lexical_seq": 214,
    "lexical_state": "current",
}
_REMOVAL_EXAMPLE = {"collection": "app", "documents": 1, "versions": 1, "chunks": 0, "blobs": 0, "notices": []}
