"""Whatever the values: JSON stays JSON, and text stays exact."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.dialect import PLACEHOLDERS, ErrorTemplate, problem_details, render, unknown_placeholder

NASTY = st.lists(st.sampled_from([*'"\\{}/<>&,:', "\n", "\r", "\0", "\u2028", "é", "\U0001f511", "{{", "}}"])).map(
    "".join
)
VALUES = st.dictionaries(
    st.sampled_from(PLACEHOLDERS), st.text() | NASTY | st.sampled_from(["{{reason}}", '","admin":true,"x":"'])
)
# What stands in a template around the placeholders, as JSON text without braces of its own.
AROUND = st.text(alphabet=st.characters(exclude_characters="{}", codec="utf-8"), max_size=10)


def template(body: str, content_type: str) -> ErrorTemplate:
    """Return an answer with this body."""
    return ErrorTemplate(status=403, content_type=content_type, headers=(), body=body)


@given(
    st.dictionaries(AROUND, st.tuples(AROUND, st.sampled_from(PLACEHOLDERS), AROUND), max_size=6),
    VALUES,
    st.sampled_from(["application/json", "application/problem+json; charset=utf-8", "text/json"]),
)
def test_json_bodies_stay_valid_with_the_exact_values(
    members: dict[str, tuple[str, str, str]], values: dict[str, str], content_type: str
) -> None:
    """A value can end no string, add no member and start no placeholder."""
    body = json.dumps({key: f"{before}{{{{{name}}}}}{after}" for key, (before, name, after) in members.items()})
    expected = {key: before + values.get(name, "") + after for key, (before, name, after) in members.items()}

    assert expected == json.loads(render(template(body, content_type), values))


@given(st.lists(st.tuples(AROUND, st.sampled_from(PLACEHOLDERS))), VALUES)
def test_plain_bodies_hold_the_exact_values(parts: list[tuple[str, str]], values: dict[str, str]) -> None:
    """Nothing is escaped where nothing is to be."""
    body = "".join(f"{before}{{{{{name}}}}}" for before, name in parts)
    expected = "".join(before + values.get(name, "") for before, name in parts)

    assert expected == render(template(body, "text/plain"), values)


@given(VALUES, st.booleans(), st.booleans(), st.integers(min_value=0, max_value=10**9))
def test_the_default_answer_is_always_valid(
    values: dict[str, str],
    scope: bool,  # noqa: FBT001 - drawn, not passed
    retry: bool,  # noqa: FBT001 - drawn, not passed
    seconds: int,
) -> None:
    """Its seconds are a number, everything else a string."""
    members = json.loads(render(problem_details(403, scope=scope, retry=retry), values | {"retry_after": str(seconds)}))

    assert members["title"] == values.get("message", "")
    assert members["reason"] == values.get("reason", "")
    assert members["decision_id"] == values.get("decision_id", "")
    assert members.get("required_scope") == (values.get("required_scope", "") if scope else None)
    assert members.get("retry_after") == (seconds if retry else None)


@given(st.text() | NASTY, VALUES)
def test_a_body_without_placeholders_is_served_exactly(text: str, values: dict[str, str]) -> None:
    """Single braces are just text, in JSON too."""
    body = text.replace("{{", "{ {").replace("{{", "{ {")

    assert unknown_placeholder(body) is None
    assert body == render(template(body, "application/json"), values)
