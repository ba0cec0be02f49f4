"""A published OpenAPI 3.0 description as a contract for tests/contract/server.py."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import yaml
from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator, oas30_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from tests.contract.server import Asked, Said

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_HERE = "urn:contract"
#: Nothing is said about these by a description (OpenAPI 3.0.3, Parameter Object).
_NO_PARAMETERS = frozenset({"accept", "content-type", "authorization"})


class OpenApiContract:
    """Implements tests.contract.server.Contract over an OpenAPI 3.0 file, JSON or YAML.

    A request must have a path and method that the file names, path, query and header parameters of the declared types
    (and no query parameter that is not declared), an Authorization where the operation itself asks for one, and a body
    of a declared content type that fits its schema. A reply must have a documented status (``default`` and ``4XX``
    count) and a body that fits; 401 and 5xx are said by any service, documented or not.

    ``base`` is what stands before the paths of the file: by default the path of its first server (Jamf Pro: ``/api``;
    Okta and NanoMDM: nothing). ``elsewhere`` are beginnings of whole paths of which the file says nothing, and which
    are let through unjudged: the token endpoint of Okta, ``/JSSResource/`` of Jamf Pro. ``parameters`` are names of
    query parameters that a service takes although the file forgets them.
    """

    def __init__(
        self, path: Path, *, base: str | None = None, elsewhere: Collection[str] = (), parameters: Collection[str] = ()
    ) -> None:
        text = path.read_text("utf-8")
        self._file: dict[str, Any] = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        self._base = _base_of(self._file) if base is None else base.rstrip("/")
        self._elsewhere, self._more = tuple(elsewhere), frozenset(parameters)
        self._registry: Registry[Any] = Registry().with_resource(_HERE, DRAFT202012.create_resource(self._file))
        # "/v1/x/{id}" and "/v1/x/all" fit the same path: the one with fewer blanks is meant.
        self._templates = sorted(self._file["paths"], key=lambda template: (template.count("{"), -len(template)))

    # --- service.Contract -----------------------------------------------------------------------------------------

    def of_request(self, asked: Asked) -> list[str]:
        """Return what in a request is not in the contract, a line each."""
        if asked.path.startswith(self._elsewhere) and self._elsewhere:
            return []
        found = self._operation(asked)
        if isinstance(found, str):
            return [f"{asked.method} {asked.path}: {found}"]
        pointer, values = found
        return [
            f"{asked.method} {asked.path}: {wrong}"
            for wrong in (
                *self._wrong_parameters(pointer, values, asked),
                *self._wrong_authorization(pointer, asked),
                *self._wrong_body(pointer, asked),
            )
        ]

    def of_reply(self, asked: Asked, said: Said) -> list[str]:
        """Return what in a reply is not in the contract, a line each."""
        if asked.path.startswith(self._elsewhere) and self._elsewhere:
            return []
        found = self._operation(asked)
        if isinstance(found, str):
            # Nothing is documented for what does not exist but that it does not.
            return [] if said.status in (404, 405) else [f"{asked.method} {asked.path}: {found}"]
        return [f"{asked.method} {asked.path} -> {said.status}: {wrong}" for wrong in self._wrong_reply(found[0], said)]

    # --- the request ----------------------------------------------------------------------------------------------

    def _operation(self, asked: Asked) -> tuple[str, dict[str, str]] | str:
        """Return where the operation lies in the file and the values of its path; or what is wrong."""
        if not asked.path.startswith(self._base + "/"):
            return f"not below {self._base}"
        path, method = asked.path.removeprefix(self._base), asked.method.lower()
        other = ""
        for template in self._templates:
            values = _values_of(template, path)
            if values is None:
                continue
            if method in _METHODS and method in self._file["paths"][template]:
                return _below("/paths", template, method), values
            other = template
        return f"{other} has no such method" if other else "no such path in the contract"

    def _parameters(self, pointer: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the parameters of an operation, each with where it lies; its own win over those of the path."""
        found: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}
        for place in (pointer.rpartition("/")[0], pointer):
            for index in range(len(self._at(place).get("parameters", ()))):
                at, parameter = self._follow(_below(place, "parameters", index))
                found[parameter["in"], parameter["name"]] = (at, parameter)
        yield from found.values()

    def _wrong_parameters(self, pointer: str, values: Mapping[str, str], asked: Asked) -> Iterator[str]:
        given: dict[str, list[str]] = {}
        for name, value in asked.query:
            given.setdefault(name, []).append(value)
        unknown = set(given) - self._more
        for at, parameter in self._parameters(pointer):
            name, place = parameter["name"], parameter["in"]
            if place == "query":
                texts = given.get(name, [])
                unknown.discard(name)
            elif place == "path":
                texts = [values[name]] if name in values else []
            elif place == "header" and name.lower() not in _NO_PARAMETERS:
                texts = [asked.headers[name.lower()]] if name.lower() in asked.headers else []
            else:
                continue
            if not texts:
                if parameter.get("required"):
                    yield f"the {place} parameter {name!r} is missing"
                continue
            if "schema" in parameter:
                yield from self._wrong_value(at, parameter, texts, f"{place} parameter {name!r}")
        yield from (f"the query parameter {name!r} is not declared" for name in sorted(unknown))

    def _wrong_value(self, at: str, parameter: Mapping[str, Any], texts: list[str], what: str) -> Iterator[str]:
        _, schema = self._follow(_below(at, "schema"))
        if schema.get("type") == "array":
            in_one = not parameter.get("explode", parameter["in"] == "query") or parameter["in"] != "query"
            parts = texts[0].split(",") if in_one and len(texts) == 1 else texts
            _, item = self._follow(_below(at, "schema", "items")) if "items" in schema else ("", {})
            value: Any = [_typed(item, part) for part in parts]
        elif len(texts) > 1:
            yield f"the {what} is there {len(texts)} times"
            return
        else:
            value = _typed(schema, texts[0])
        yield from self._unfit(_below(at, "schema"), value, f"the {what}", OAS30WriteValidator)

    def _wrong_authorization(self, pointer: str, asked: Asked) -> Iterator[str]:
        """Only what the operation asks for itself: what a file asks for on the whole is not true of its token path."""
        wanted = self._at(pointer).get("security", ())
        schemes = self._file.get("components", {}).get("securitySchemes", {})
        if wanted and not any(
            all(_shown(schemes[name], asked.headers.get("authorization", "")) for name in one) for one in wanted
        ):
            yield f"none of the ways to authorize: {', '.join(sorted({name for one in wanted for name in one}))}"

    def _wrong_body(self, pointer: str, asked: Asked) -> Iterator[str]:
        if "requestBody" not in self._at(pointer):
            if asked.body:
                yield "a body where none is declared"
            return
        at, declared = self._follow(_below(pointer, "requestBody"))
        if not asked.body:
            if declared.get("required"):
                yield "the body is missing"
            return
        yield from self._wrong_content(
            at, declared, asked.headers.get("content-type", ""), asked.body, OAS30WriteValidator
        )

    # --- the reply ------------------------------------------------------------------------------------------------

    def _wrong_reply(self, pointer: str, said: Said) -> Iterator[str]:
        responses = self._at(pointer)["responses"]
        keys = (str(said.status), f"{said.status // 100}XX", "default")
        key = next((key for key in keys if key in responses), None)
        if key is None and (said.status == 401 or said.status >= 500):
            return
        if key is None:
            yield f"the status is not documented (these are: {', '.join(map(str, responses))})"
            return
        at, declared = self._follow(_below(pointer, "responses", key))
        body = said.as_bytes()
        if body or (declared.get("content") and said.status not in (202, 204)):
            if not declared.get("content"):
                yield "a body where none is documented"
                return
            yield from self._wrong_content(at, declared, said.content_type, body, OAS30ReadValidator)

    def _wrong_content(
        self, at: str, declared: Mapping[str, Any], content_type: str, body: bytes, validator: Any
    ) -> Iterator[str]:
        kind = content_type.partition(";")[0].strip().lower()
        key = next((key for key in declared["content"] if _covers(key, kind)), None)
        if key is None:
            yield f"the content type {kind!r} is not declared (these are: {', '.join(declared['content'])})"
            return
        if not (kind == "application/json" or kind.endswith("+json")):
            return
        try:
            document = json.loads(body)
        except ValueError:
            yield "the body is no JSON"
            return
        if "schema" in declared["content"][key]:
            yield from self._unfit(_below(at, "content", key, "schema"), document, "the body", validator)

    # --- the file -------------------------------------------------------------------------------------------------

    def _unfit(self, pointer: str, value: Any, what: str, validator: Any) -> Iterator[str]:
        schema = {"$ref": f"{_HERE}#{quote(pointer)}"}
        judge = validator(schema, registry=self._registry, format_checker=oas30_format_checker)
        for error in judge.iter_errors(value):
            deepest = _deepest(error)
            yield f"{what}{deepest.json_path.removeprefix('$')}: {deepest.message[:300]}"

    def _at(self, pointer: str) -> Any:
        node: Any = self._file
        for part in pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            node = node[int(part)] if isinstance(node, list) else node[part]
        return node

    def _follow(self, pointer: str) -> tuple[str, Any]:
        """Given where something lies, return where it really lies and what it is."""
        node = self._at(pointer)
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            pointer = unquote(node["$ref"].removeprefix("#"))
            node = self._at(pointer)
        return pointer, node


def _base_of(file: Mapping[str, Any]) -> str:
    servers = file.get("servers") or [{"url": ""}]
    url = re.sub(
        r"\{([^}]+)\}",
        lambda found: str(servers[0]["variables"][found[1]]["default"]),
        servers[0]["url"],
    )
    return urlsplit(url).path.rstrip("/")


def _values_of(template: str, path: str) -> dict[str, str] | None:
    """Given the template of a path and a path, return the values in it by name; None where it does not fit."""
    names = re.findall(r"\{([^}]+)\}", template)
    pattern = "([^/]+)".join(re.escape(part) for part in re.split(r"\{[^}]+\}", template))
    found = re.fullmatch(pattern, path)
    return dict(zip(names, map(unquote, found.groups()), strict=True)) if found else None


def _below(pointer: str, *parts: str | int) -> str:
    return "/".join([pointer, *(str(part).replace("~", "~0").replace("/", "~1") for part in parts)])


def _typed(schema: Mapping[str, Any], text: str) -> Any:
    """Given the schema of a parameter and its text, return the value that the text stands for, else the text."""
    kind = schema.get("type")
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind == "integer" and re.fullmatch(r"-?[0-9]+", text, re.ASCII):
        return int(text)
    if kind == "number" and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text, re.ASCII):
        return float(text)
    return text


def _shown(scheme: Mapping[str, Any], authorization: str) -> bool:
    kind = scheme["type"]
    if kind == "http":
        return authorization.lower().startswith(f"{scheme['scheme'].lower()} ")
    if kind in ("oauth2", "openIdConnect"):
        return re.match(r"(Bearer|DPoP) .", authorization) is not None
    # apiKey: only in the header Authorization; no service here has another.
    return bool(authorization) and not authorization.startswith(("Bearer ", "Basic "))


def _covers(key: str, kind: str) -> bool:
    key = key.partition(";")[0].strip().lower()
    return key in ("*/*", kind) or (key.endswith("/*") and kind.startswith(key[:-1]))


def _deepest(error: Any) -> Any:
    """Of the branches of a oneOf, the nearest miss says more than that none fits."""
    while error.context:
        error = max(error.context, key=lambda one: len(one.absolute_path))
    return error
