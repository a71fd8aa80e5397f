"""Section F: texts that are no key, and what each may cost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.inputs.callers import ENVIRONMENT, GOOD, INVALID_KEY, UNAUTHORIZED, Caller
from tests.conformance.inputs.local import local_door, local_key, place
from tests.support.doors import Answer, Door
from tests.support.products import PRODUCTS

pytestmark = pytest.mark.databases("sqlite")

CHECKSUMS = ("moveris", "verifa", "op")  # Veridia's keys are all random
ANY_TEXT = ("moveris",)  # may have keys from elsewhere, of which nothing is known but their length


async def present(asked: Door, name: str, text: str, **changes: Any) -> Answer:
    """Put a text to a door as the key for its good request."""
    bearer = PRODUCTS[name].bearer
    header = ("authorization", f"Bearer {text}") if bearer else ("x-api-key", text)
    usual = {"method": GOOD[name].method, "path": GOOD[name].path, "extensions": place(name)}
    return await asked.ask(headers=[header], **(usual | changes))


def changed(key: str) -> list[str]:
    """Return a key with one character changed, at the places that matter."""
    places = (len(key) - back for back in (1, 7, 8, 20))
    return [key[:at] + ("1" if key[at] != "1" else "2") + key[at + 1 :] for at in places]


@pytest.mark.parametrize("name", GOOD)
async def test_f1_a_typing_mistake_costs_no_query(name: str) -> None:
    """The checksum tells; where keys have none, or may be any text, one query does."""
    asked = local_door(name)
    answers = [await present(asked, name, text) for text in changed(local_key(name))]

    assert {answer.outcome for answer in answers} == {(16, 401, INVALID_KEY)}
    assert asked.store.loads == (0 if name in CHECKSUMS and name not in ANY_TEXT else len(answers))


def test_f1_a_typing_mistake(caller: Caller) -> None:
    """It is an unknown key like any other."""
    for text in changed(caller.key()):
        caller.refused(caller.send([caller.presented(text)]), INVALID_KEY)


@pytest.mark.parametrize("name", GOOD)
async def test_f2_an_unknown_key_costs_one_query(name: str) -> None:
    """The second time it is remembered that there is none."""
    asked = local_door(name)
    answers = [await present(asked, name, local_key(name, seed=7)) for _ in range(3)]

    assert {answer.outcome for answer in answers} == {(16, 401, INVALID_KEY)}
    assert asked.store.loads == 1


def test_f2_an_unknown_key(caller: Caller) -> None:
    """Right in every respect but that nobody made it."""
    text = caller.presented(local_key(caller.product.name, seed=7))

    caller.refused(caller.send([text]), INVALID_KEY)
    caller.refused(caller.check([text]), INVALID_KEY)


@pytest.mark.parametrize("name", GOOD)
async def test_f4_a_shorter_prefix_rescues_nothing(name: str) -> None:
    """`PREFIX_dev_…` where only `PREFIX_` is known: the rest is no body, and costs no query."""
    asked, key, prefix = local_door(name), local_key(name), GOOD[name].prefix
    body = key.removeprefix(prefix)
    texts = [f"{prefix}dev_{body}", f"{prefix}dev_{body[4:]}", f"{prefix}{body}_", f"{prefix}_{body[1:]}", prefix]
    answers = [await present(asked, name, text) for text in texts if text]

    assert {answer.outcome for answer in answers} == {(16, 401, INVALID_KEY)}
    assert asked.store.loads == 0 or name in ANY_TEXT


def test_f4_prefixes_of_other_products(caller: Caller) -> None:
    """A key of one product is nothing to another."""
    for name in GOOD:
        text = local_key(name, seed=3)
        caller.refused(caller.send([caller.presented(text)]), INVALID_KEY)


@pytest.mark.products("veridia", "verifa")
def test_f5_a_key_of_the_other_environment(caller: Caller) -> None:
    """Both ways, with the product's own error."""
    first, second = caller.product.facts.hosts
    for of, at in ((first, second), (second, first)):
        key = caller.key(environment=of)
        asked = caller.good.method, caller.good.path, key
        assert caller.product.send(*asked, environment=of).status == 200
        caller.refused(caller.product.send(*asked, environment=at), ENVIRONMENT)


@pytest.mark.parametrize("size", [129, 10_240, 40_000, 200_000])
def test_f6_long_keys(caller: Caller, size: int) -> None:
    """Over 128 bytes a text is no key, whatever it begins with; Envoy's own bound is 60 KiB of headers."""
    text = (caller.key() + "0" * size)[:size]

    caller.refused(caller.check([caller.presented(text)]), UNAUTHORIZED)
    if size <= 40_000:
        caller.refused(caller.send([caller.presented(text)]), UNAUTHORIZED)
    else:
        assert caller.send([caller.presented(text)]).status == 431


@pytest.mark.parametrize("name", GOOD)
async def test_f6_long_keys_cost_no_query(name: str) -> None:
    """Exactly 128 bytes can be a key of a class that is that long; one more, or a mebibyte, cannot."""
    asked = local_door(name)
    reasons = [(await present(asked, name, "x" * size)).reason for size in (128, 129, 1_048_576)]

    assert reasons == [INVALID_KEY, UNAUTHORIZED, UNAUTHORIZED]
    assert asked.store.loads == (1 if name in ANY_TEXT else 0)


NO_KEYS = [
    pytest.param("' OR 1=1 --", UNAUTHORIZED, id="F9-sql"),
    pytest.param("1;DROP_TABLE_keys", INVALID_KEY, id="F9-sql-without-blanks"),
    pytest.param("$where", INVALID_KEY, id="F9-operator"),
    pytest.param("%s", UNAUTHORIZED, id="F9-format"),
    pytest.param("{0}", INVALID_KEY, id="F9-braces"),
    pytest.param("${jndi:ldap://x}", INVALID_KEY, id="F9-lookup"),
    pytest.param("../../etc/passwd", INVALID_KEY, id="F9-path"),
    pytest.param("<script>", INVALID_KEY, id="F9-script"),
    pytest.param("*", INVALID_KEY, id="F9-asterisk"),
    pytest.param("null", INVALID_KEY, id="F9-null"),
    pytest.param("undefined", INVALID_KEY, id="F9-undefined"),
    pytest.param("\u00e9" * 40, UNAUTHORIZED, id="F10-latin"),
    pytest.param("\U0001f511", UNAUTHORIZED, id="F10-emoji"),
    pytest.param("k\u212aey", UNAUTHORIZED, id="F10-kelvin"),
    pytest.param("\x7f" * 40, UNAUTHORIZED, id="F10-delete"),
    pytest.param("a\x01b", UNAUTHORIZED, id="F10-control"),
]


@pytest.mark.parametrize(("text", "reason"), NO_KEYS)
def test_f9_f10_texts_that_mean_something_elsewhere(caller: Caller, text: str, reason: str) -> None:
    """Here they mean nothing: not presentable as a key, or simply unknown."""
    caller.refused(caller.check([caller.presented(text)]), reason)
    if text.isprintable() and text.isascii():
        caller.refused(caller.send([caller.presented(text)]), reason)


@pytest.mark.parametrize("name", GOOD)
async def test_f9_f10_cost_no_query(name: str) -> None:
    """None of them can be a key, so nobody looks it up; a text from elsewhere has 16 characters at least."""
    asked = local_door(name)
    texts = [str(param.values[0]) for param in NO_KEYS]
    answers = [await present(asked, name, text) for text in texts]

    assert {answer.status for answer in answers} == {401}
    assert asked.store.loads == (3 if name in ANY_TEXT else 0)


def test_f12_upper_and_lower_case(caller: Caller) -> None:
    """A key is compared byte for byte: in another case it is another text."""
    key = caller.key()
    for text in (key.swapcase(), key.upper(), key.lower()):
        if text != key:
            caller.refused(caller.send([caller.presented(text)]), INVALID_KEY)


@pytest.mark.parametrize("name", GOOD)
async def test_f13_a_text_from_elsewhere(name: str) -> None:
    """Where no class takes keys of another system, nobody looks one up."""
    asked = local_door(name)
    answer = await present(asked, name, "your-old-api-key/2019==")

    assert answer.outcome == (16, 401, INVALID_KEY)
    assert asked.store.loads == (1 if name in ANY_TEXT else 0)


def test_f13_a_text_from_elsewhere_is_told_nothing_else(caller: Caller) -> None:
    """The same 401, whether or not it was looked for."""
    caller.refused(caller.send([caller.presented("your-old-api-key/2019==")]), INVALID_KEY)
