"""AuthService's answers put together from parts: what they say is what the whole messages say."""

from __future__ import annotations

import pytest
from authsvc_client.v1.auth_service_pb2 import (
    AuthenticateResponse,
    AuthorizeResponse,
    BatchAuthorizeError,
    BatchAuthorizeResponse,
    BatchAuthorizeResult,
)
from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.api import Api
from authsvc.domain.decision import Allow, Bearer, Deny, Outcome, bearer_of
from authsvc.domain.quotas import Verdict
from authsvc.domain.reasons import Reason
from authsvc.servicers import auth_answers, auth_wire
from tests.support.builders import NOW, REVISION, api, record, verdict

SHOP = api()
ID = "0123456789abcdef01234567"
VERDICTS = st.lists(
    st.builds(
        verdict,
        allowed=st.booleans(),
        remaining=st.integers(0, 10**6),
        reset_ns=st.integers(0, 10**12),
        retry_ns=st.integers(0, 10**12),
    ),
    min_size=1,
    max_size=2,
).map(tuple)
BEARERS = st.builds(
    lambda **fields: bearer_of(record(**fields), SHOP, REVISION),
    expires_at=st.sampled_from([None, NOW + 5]),
    grace_ends_at=st.sampled_from([None, NOW + 1]),
    environment=st.sampled_from(["live", None]),
    metadata=st.dictionaries(st.text(max_size=3), st.text(max_size=200), max_size=3),
    full_access=st.booleans(),
)
REFUSALS = st.builds(
    lambda reason, scope, verdicts: Deny(
        reason=reason,
        detail="for logs",
        required_scope=scope if reason is Reason.INSUFFICIENT_SCOPE else None,
        verdicts=verdicts if reason is Reason.RATE_LIMITED else (),
    ),
    st.sampled_from(Reason),
    st.sampled_from(["things:read", "things:write"]),
    VERDICTS,
)


@given(
    of=st.sampled_from([SHOP, None]),
    bearer=st.none() | BEARERS,
    decision=REFUSALS | st.builds(Allow, st.just(()) | VERDICTS),
    stale=st.booleans(),
)
def test_the_parts_say_what_the_messages_say(
    of: Api | None, bearer: Bearer | None, decision: Allow | Deny, *, stale: bool
) -> None:
    """Whatever was decided about whom; the second time as the first, when the parts are at hand."""
    outcome = Outcome(of, decision, bearer)
    whole = AuthorizeResponse(
        decision=auth_wire.decision(outcome, ID, stale=stale), principal=auth_wire.principal(outcome)
    )

    assert whole == AuthorizeResponse.FromString(auth_answers.response(outcome, ID, stale=stale))
    assert whole == AuthorizeResponse.FromString(auth_answers.response(outcome, ID, stale=stale))


def test_both_answers_have_the_same_fields() -> None:
    """One set of bytes serves as either."""
    fields = [
        [(field.name, field.number, field.message_type.full_name) for field in message.DESCRIPTOR.fields]
        for message in (AuthorizeResponse, AuthenticateResponse)
    ]

    assert fields[0] == fields[1]


@given(st.lists(st.tuples(st.text(max_size=64), st.none() | st.text(max_size=20_000)), max_size=4))
def test_results_are_a_batch(items: list[tuple[str, str | None]]) -> None:
    """Names and answers of any size, failures among them, in their order."""
    whole, parts = BatchAuthorizeResponse(), []
    for name, metadata in items:
        result = whole.results.add(correlation_id=name)
        if metadata is None:
            result.error.code = 14
            parts.append(
                auth_answers.failed(BatchAuthorizeResult(correlation_id=name, error=BatchAuthorizeError(code=14)))
            )
        else:
            result.response.principal.metadata["a"] = metadata
            parts.append(auth_answers.result(name, result.response.SerializeToString()))

    assert whole == BatchAuthorizeResponse.FromString(b"".join(parts))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384])
def test_sizes_at_the_edges(size: int) -> None:
    """Where a length grows by a byte."""
    answer = AuthorizeResponse()
    answer.principal.key_id = "k" * size
    told = auth_answers.result("", answer.SerializeToString())

    assert [answer] == [each.response for each in BatchAuthorizeResponse.FromString(told).results]


def test_what_is_no_decision_is_no_allow() -> None:
    """Neither as parts nor as a message; the caller of either tells a fault."""
    outcome = Outcome(SHOP, None, bearer_of(record(), SHOP, REVISION))  # type: ignore[arg-type]  # what must not be

    for answer in (auth_answers.response, auth_wire.decision):
        with pytest.raises(AttributeError):
            answer(outcome, ID, stale=False)
    assert auth_wire.principal(outcome) is None


def limited(verdicts: tuple[Verdict, ...]) -> Outcome:
    """Return a refusal by a limit."""
    return Outcome(SHOP, Deny(reason=Reason.RATE_LIMITED, detail="", verdicts=verdicts), None)


def test_each_wait_is_its_own() -> None:
    """What is kept of one refusal is not told of the next."""
    waits = [
        AuthorizeResponse.FromString(
            auth_answers.response(limited((verdict(allowed=False, retry_ns=wait * 10**9),)), ID, stale=False)
        ).decision.retry_after.seconds
        for wait in (1, 7, 1)
    ]

    assert waits == [1, 7, 1]
