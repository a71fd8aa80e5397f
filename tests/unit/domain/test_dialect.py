"""How refusals are worded."""

from __future__ import annotations

import json

import pytest

from authsvc.domain.dialect import PLACEHOLDERS, ErrorTemplate, is_json, problem_details, render, unknown_placeholder


def template(body: str, content_type: str = "application/json") -> ErrorTemplate:
    """Return an answer with this body."""
    return ErrorTemplate(status=403, content_type=content_type, headers=(), body=body)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        pytest.param("application/json", True, id="json"),
        pytest.param("Application/JSON", True, id="upper-case"),
        pytest.param("application/json; charset=utf-8", True, id="charset"),
        pytest.param("application/json ;charset=utf-8", True, id="blank"),
        pytest.param("application/problem+json", True, id="suffix"),
        pytest.param("text/json", True, id="text-json"),
        pytest.param("text/plain", False, id="plain"),
        pytest.param("text/html", False, id="html"),
        pytest.param("application/jsonp", False, id="jsonp"),
        pytest.param("text/plain; x=application/json", False, id="parameter"),
        pytest.param("", False, id="empty"),
    ],
)
def test_is_json(content_type: str, *, expected: bool) -> None:
    """The media type decides, parameters do not."""
    assert expected == is_json(content_type)


def test_every_placeholder_is_filled() -> None:
    """A template may use each name, and each as often as it likes."""
    body = " ".join(f"{{{{{name}}}}}{{{{{name}}}}}" for name in PLACEHOLDERS)
    values = {name: f"<{name}>" for name in PLACEHOLDERS}
    expected = " ".join(f"<{name}><{name}>" for name in PLACEHOLDERS)

    assert expected == render(template(body, "text/plain"), values)


def test_values_are_escaped_in_json_only() -> None:
    """A quote in a value must not end a JSON string; plain text stays exact."""
    value = 'a"b\\c\nd\u2028\x00'

    assert json.loads(render(template('{"m":"{{message}}"}'), {"message": value})) == {"m": value}
    assert render(template("{{message}}", "text/plain"), {"message": value}) == value


def test_a_value_is_never_a_template() -> None:
    """What is filled in is not read again."""
    assert render(template("{{message}}"), {"message": "{{reason}}", "reason": "no"}) == "{{reason}}"


def test_an_absent_value_is_empty() -> None:
    """Nothing of the template's own syntax reaches a caller."""
    assert render(template("[{{required_scope}}]"), {}) == "[]"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("", None, id="empty"),
        pytest.param('{"a":{"b":{{status}}}}', None, id="nested-braces"),
        pytest.param("{{ reason }}", " reason ", id="blanks"),
        pytest.param("{{Reason}}", "Reason", id="case"),
        pytest.param("{{}}", "", id="empty-name"),
        pytest.param("{{reason}} {{nope}} {{nada}}", "nope", id="first-of-two"),
        pytest.param("{{reason}", None, id="not-closed"),
        pytest.param("{{" * 50_000, None, id="100-kb-open"),
        pytest.param("{{a" * 33_000, None, id="100-kb-open-with-names"),
    ],
)
def test_unknown_placeholder(body: str, expected: str | None) -> None:
    """A misspelt name is found at the start, not in a customer's hands."""
    assert expected == unknown_placeholder(body)


def test_an_exact_body_is_served_exactly() -> None:
    """Products that document a body get that body, byte for byte."""
    body = '{"error":"unauthorized","detail":"Invalid or missing API key.","status_code":401}'

    assert body == render(template(body), dict.fromkeys(PLACEHOLDERS, "x"))


@pytest.mark.parametrize(
    ("scope", "retry", "extra"),
    [
        pytest.param(False, False, set(), id="plain"),
        pytest.param(True, False, {"required_scope"}, id="scope"),
        pytest.param(False, True, {"retry_after"}, id="retry"),
    ],
)
def test_problem_details(extra: set[str], *, scope: bool, retry: bool) -> None:
    """The default follows RFC 9457 and carries what the reason has to tell."""
    answer = problem_details(429, scope=scope, retry=retry)
    members = json.loads(render(answer, {"retry_after": "6"}))

    assert answer.content_type == "application/problem+json"
    assert members["status"] == 429
    assert {"type", "title", "status", "reason", "decision_id"} | extra == set(members)
