"""The description of every route as OpenAPI 3.1, made from the same table that is served. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import TypeAdapter

from skep import __version__
from skep.access import AddressNotAllowedError, KeyInvalidError, KeyMissingError, RoleTooLowError
from skep.errors import SkepError
from skep.server.interfaces import HostRefusedError, NotReadyError, OriginRefusedError, ServerStoppingError
from skep.server.problems import MEDIA_TYPE, PROBLEM_SCHEMA
from skep.web import (
    ANTHROPIC_ERROR_SCHEMA,
    ANTHROPIC_PREFIX,
    GEMINI_ERROR_SCHEMA,
    OPENAI_ERROR_SCHEMA,
    OPENAI_PREFIX,
    BodyInvalidError,
    BodyTooLargeError,
    Endpoint,
    QueryInvalidError,
    is_geminis,
    openai_status,
)

_Key = tuple[str, Literal["body", "query", "answer"]]

_REFERENCE = "#/components/schemas/{model}"
_KEYED_ERRORS = (
    KeyMissingError,
    KeyInvalidError,
    AddressNotAllowedError,
    RoleTooLowError,
    NotReadyError,
    ServerStoppingError,
)
_BODY_ERRORS = (BodyInvalidError, BodyTooLargeError)


def openapi(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document that ``/api/openapi.json`` answers."""
    schemas, definitions = _schemas(endpoints)
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Skep",
            "version": __version__,
            "description": "One self-hosted service between a team and its language models. Errors are problem details"
            " (RFC 9457) with a stable `code` and a `fix`.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions
            | {
                "Problem": PROBLEM_SCHEMA,
                "OpenAIError": OPENAI_ERROR_SCHEMA,
                "AnthropicError": ANTHROPIC_ERROR_SCHEMA,
                "GeminiError": GEMINI_ERROR_SCHEMA,
            },
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A Skep key: skep_..., see admin.key"}
            },
        },
    }


def errors_of(endpoint: Endpoint) -> dict[int, list[type[SkepError]]]:
    """What a route may refuse with, by status."""
    found: list[type[SkepError]] = [HostRefusedError, OriginRefusedError, *endpoint.errors]
    found += _KEYED_ERRORS if endpoint.caller != "public" else ()
    found += _BODY_ERRORS if endpoint.body is not None else ()
    found += (QueryInvalidError,) if endpoint.query is not None else ()
    by_status: dict[int, list[type[SkepError]]] = {}
    for error in dict.fromkeys(found):
        is_face = endpoint.path.startswith(OPENAI_PREFIX) or is_geminis(endpoint.path)
        status = openai_status(error()) if is_face else error.http_status
        by_status.setdefault(status, []).append(error)
    return dict(sorted(by_status.items()))


def _operation(endpoint: Endpoint, schemas: dict[_Key, dict[str, Any]]) -> dict[str, object]:
    name = operation_id(endpoint)
    operation: dict[str, object] = {
        "operationId": name,
        "summary": endpoint.summary,
        "x-caller": endpoint.caller,
        "parameters": [*_path_parameters(endpoint.path), *_query_parameters(schemas.get((name, "query")))],
        "responses": {
            str(int(endpoint.status)): _answer(endpoint, schemas.get((name, "answer"))),
            **_others(endpoint),
            **_problems(endpoint),
        },
        "security": [] if endpoint.caller == "public" else [{"key": []}],
    }
    if endpoint.description:
        operation["description"] = endpoint.description
    if endpoint.body is not None:
        content: dict[str, object] = {"schema": schemas[name, "body"]}
        if endpoint.body_example is not None:
            content["example"] = endpoint.body_example
        operation["requestBody"] = {"content": {"application/json": content}}
    return operation


def operation_id(endpoint: Endpoint) -> str:
    """A name for a route that generated clients can use: ``post_collections_name_index``."""
    words = re.findall(r"\w+", re.sub(r":\w+(?=\})|/api/v1", "", endpoint.path))
    return "_".join([endpoint.method.lower(), *words])


def _answer(endpoint: Endpoint, schema: dict[str, Any] | None) -> dict[str, object]:
    content: dict[str, object] = {} if schema is None else {"schema": schema}
    if endpoint.answer_example is not None:
        content["example"] = endpoint.answer_example
    others = {media_type: {"schema": {"type": "string"}} for media_type in endpoint.other_media_types}
    return {"description": endpoint.status.phrase, "content": {endpoint.media_type: content, **others}}


def _others(endpoint: Endpoint) -> dict[str, object]:
    return {
        str(status): {"description": f"{HTTPStatus(status).phrase}: {said}"}
        for status, said in endpoint.other_answers.items()
    }


def _problems(endpoint: Endpoint) -> dict[str, object]:
    if is_geminis(endpoint.path):
        media_type, model = "application/json", "GeminiError"
    elif endpoint.path.startswith(OPENAI_PREFIX):
        is_anthropics = f"{endpoint.path}/".startswith(ANTHROPIC_PREFIX)
        media_type, model = "application/json", "AnthropicError" if is_anthropics else "OpenAIError"
    else:
        media_type, model = MEDIA_TYPE, "Problem"
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(error().code for error in errors)}",
            "content": {media_type: {"schema": {"$ref": _REFERENCE.format(model=model)}}},
        }
        for status, errors in errors_of(endpoint).items()
    }


def _path_parameters(path: str) -> Iterable[dict[str, object]]:
    for name in re.findall(r"\{(\w+)", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(schema: dict[str, Any] | None) -> Iterable[dict[str, object]]:
    if schema is None:
        return
    for name, value in schema.get("properties", {}).items():
        shown = {key: part for key, part in value.items() if key != "description"}
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": value.get("description", ""),
            "schema": shown,
        }


def _schemas(endpoints: Sequence[Endpoint]) -> tuple[dict[_Key, dict[str, Any]], dict[str, Any]]:
    """The schema of each route's body, parameters and answer, and the shared ones by name."""
    wanted: list[tuple[_Key, Literal["validation"], TypeAdapter[Any]]] = []
    for endpoint in endpoints:
        name = operation_id(endpoint)
        if endpoint.body is not None:
            wanted.append(((name, "body"), "validation", TypeAdapter(endpoint.body)))
        if endpoint.answer is not None:
            wanted.append(((name, "answer"), "validation", TypeAdapter(endpoint.answer)))
    by_key, shared = TypeAdapter.json_schemas(wanted, ref_template=_REFERENCE)
    schemas = {key: schema for (key, _), schema in by_key.items()}
    for endpoint in endpoints:
        if endpoint.query is not None:
            # Parameters are listed one by one, so this schema is not shared.
            schemas[operation_id(endpoint), "query"] = endpoint.query.model_json_schema()
    return schemas, shared.get("$defs", {})
