"""The OpenAPI contract lets through what is described, and names what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.contract.openapi import OpenApiContract
from tests.contract.server import Asked, Said

CONTRACTS = Path(__file__).parents[3] / "shared/contracts"
_ERROR = {"type": "object", "properties": {"why": {"type": "string"}}}
DESCRIPTION: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Things", "version": "1"},
    "servers": [{"url": "https://{host}/base/", "variables": {"host": {"default": "example.com"}}}],
    "components": {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "Authorization"},
            "oauth": {"type": "oauth2", "flows": {}},
        },
        "parameters": {
            "limit": {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200}},
        },
        "responses": {"Error": {"description": "", "content": {"application/json": {"schema": _ERROR}}}},
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "made": {"type": "string", "format": "date-time", "readOnly": True},
                    "note": {"type": "string", "nullable": True},
                },
                "additionalProperties": False,
            }
        },
    },
    "paths": {
        "/things": {
            "get": {
                "security": [{"key": []}, {"oauth": ["read"]}],
                "parameters": [
                    {"$ref": "#/components/parameters/limit"},
                    {"name": "kind", "in": "query", "required": True, "schema": {"type": "string", "enum": ["a", "b"]}},
                    {
                        "name": "with",
                        "in": "query",
                        "explode": False,
                        "schema": {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}},
                    },
                ],
                "responses": {
                    "200": {
                        "description": "",
                        "content": {
                            "application/json": {
                                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}
                            }
                        },
                    },
                    "4XX": {"$ref": "#/components/responses/Error"},
                },
            },
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                },
                "responses": {"204": {"description": ""}},
            },
        },
        "/things/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "delete": {
                "parameters": [{"name": "X-Sure", "in": "header", "required": True, "schema": {"type": "boolean"}}],
                "responses": {"204": {"description": ""}},
            },
        },
        "/things/all": {"get": {"responses": {"default": {"description": ""}}}},
    },
}


@pytest.fixture(scope="module", params=["json", "yaml"])
def contract(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpenApiContract:
    path = tmp_path_factory.mktemp("contract") / f"things.{request.param}"
    path.write_text(json.dumps(DESCRIPTION) if request.param == "json" else yaml.safe_dump(DESCRIPTION))
    return OpenApiContract(path, elsewhere=("/token",))


def asked(method: str, path: str, query: str = "", body: bytes = b"", **headers: str) -> Asked:
    pairs = tuple((part.split("=")[0], part.split("=")[1]) for part in query.split("&") if part)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked(method, path, pairs, names, body)


@pytest.mark.parametrize(
    "request_",
    [
        asked("GET", "/base/things", "kind=a&limit=200&with=x,y", authorization="SSWS 1"),
        asked("GET", "/base/things", "kind=b", authorization="Bearer 1"),
        asked("POST", "/base/things", body=b'{"name": "n", "note": null}', content_type="application/json"),
        asked("DELETE", "/base/things/7", x_sure="true"),
        asked("GET", "/base/things/all"),
        asked("POST", "/token", body=b"anything"),
    ],
)
def test_what_is_described_is_let_through(contract: OpenApiContract, request_: Asked) -> None:
    assert contract.of_request(request_) == []


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (asked("GET", "/things", "kind=a", authorization="SSWS 1"), "not below /base"),
        (asked("GET", "/base/other"), "no such path"),
        (asked("PUT", "/base/things"), "no such method"),
        (asked("GET", "/base/things", authorization="SSWS 1"), "'kind' is missing"),
        (asked("GET", "/base/things", "kind=c", authorization="SSWS 1"), "'c' is not one of"),
        (asked("GET", "/base/things", "kind=a&kind=b", authorization="SSWS 1"), "2 times"),
        (asked("GET", "/base/things", "kind=a&limit=201", authorization="SSWS 1"), "201 is greater"),
        (asked("GET", "/base/things", "kind=a&limit=many", authorization="SSWS 1"), "not of type 'integer'"),
        (asked("GET", "/base/things", "kind=a&with=x,z", authorization="SSWS 1"), "'z' is not one of"),
        (asked("GET", "/base/things", "kind=a&colour=red", authorization="SSWS 1"), "'colour' is not declared"),
        (asked("GET", "/base/things", "kind=a"), "none of the ways to authorize"),
        (asked("GET", "/base/things", "kind=a", authorization="Basic 1"), "none of the ways to authorize"),
        (asked("GET", "/base/things", "kind=a", b"x", authorization="SSWS 1"), "a body where none"),
        (asked("POST", "/base/things"), "the body is missing"),
        (asked("POST", "/base/things", body=b"{", content_type="application/json"), "no JSON"),
        (asked("POST", "/base/things", body=b"{}", content_type="text/plain"), "'text/plain' is not declared"),
        (asked("POST", "/base/things", body=b"{}", content_type="application/json"), "'name' is a required"),
        (
            asked("POST", "/base/things", body=b'{"name": "n", "x": 1}', content_type="application/json"),
            "'x' was unexpected",
        ),
        (
            asked(
                "POST",
                "/base/things",
                body=b'{"name": "n", "made": "2026-01-01T00:00:00Z"}',
                content_type="application/json",
            ),
            "Tried to write read-only",
        ),
        (asked("DELETE", "/base/things/seven", x_sure="true"), "not of type 'integer'"),
        (asked("DELETE", "/base/things/7"), "'X-Sure' is missing"),
    ],
)
def test_what_is_not_described_is_named(contract: OpenApiContract, request_: Asked, wrong: str) -> None:
    [found] = contract.of_request(request_)

    assert wrong in found
    assert found.startswith(f"{request_.method} {request_.path}: ")


LIST = asked("GET", "/base/things", "kind=a", authorization="SSWS 1")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (LIST, Said(200, [{"name": "n", "made": "2026-01-01T00:00:00Z"}])),
        (LIST, Said(403, {"why": "because"})),
        (LIST, Said(503, body=b"busy", content_type="text/html")),
        (asked("POST", "/base/things"), Said(401, {"why": "who"})),
        (asked("POST", "/base/things"), Said(204)),
        (asked("GET", "/base/things/all"), Said(500)),
        (asked("GET", "/base/other"), Said(404, {"any": "thing"})),
    ],
)
def test_a_documented_reply_is_let_through(contract: OpenApiContract, request_: Asked, said: Said) -> None:
    assert contract.of_reply(request_, said) == []


@pytest.mark.parametrize(
    ("request_", "said", "wrong"),
    [
        (LIST, Said(202), "the status is not documented"),
        (LIST, Said(200), "no JSON"),
        (LIST, Said(200, {"name": "n"}), "not of type 'array'"),
        (LIST, Said(200, [{"name": 1}]), "1 is not of type 'string'"),
        (LIST, Said(200, [{"name": "n", "made": "yesterday"}]), "'yesterday' is not a 'date-time'"),
        (LIST, Said(200, [{"name": None}]), "None"),
        (LIST, Said(403, body=b"no", content_type="text/html"), "'text/html' is not declared"),
        (asked("POST", "/base/things"), Said(204, {"a": "body"}), "a body where none"),
        (asked("GET", "/base/other"), Said(200), "no such path"),
    ],
)
def test_an_undocumented_reply_is_named(contract: OpenApiContract, request_: Asked, said: Said, wrong: str) -> None:
    found = contract.of_reply(request_, said)

    assert found
    assert wrong in found[0]


@pytest.mark.skipif(not CONTRACTS.is_dir(), reason="the published contracts are not beside the checkout")
@pytest.mark.parametrize(
    ("name", "request_"),
    [
        (
            "okta/okta-management.subset.json",
            asked("GET", "/api/v1/devices", 'search=profile.serialNumber eq "C02"&limit=200', authorization="SSWS x"),
        ),
        (
            "jamf/jamf-pro-api-11.30.1.trimmed.json",
            asked("GET", "/api/v4/computers-inventory", "page=0&page-size=100&section=GENERAL&section=HARDWARE"),
        ),
        ("nanomdm/openapi.yaml", asked("GET", "/v1/push/AAA-1,BBB-2", authorization="Basic bmFub21kbTo=")),
    ],
)
def test_the_published_contracts_are_read(name: str, request_: Asked) -> None:
    assert OpenApiContract(CONTRACTS / name).of_request(request_) == []
