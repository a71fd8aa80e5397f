"""`ImportStore` and `FormStore`: what every database makes of imported keys and of the forms of all keys."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.errors import ConflictError, FailedPreconditionError
from authsvc.domain.hashing import Digest, Pepper
from authsvc.domain.keys import Assurance
from authsvc.ports import PRESENT, StoredForm
from authsvc.stores import forms, imports
from authsvc.stores.imports import DELETED, NO_ORGANIZATION, TAKEN
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS
from tests.support.imports import batch_of, import_of
from tests.support.stored import ACTOR, digest, key_id, new_key, new_organization, organization_id

RACES = 200


@pytest.fixture
async def owned(store: SqlStore) -> SqlStore:
    """A store with one organization."""
    await store.create_organization(new_organization(), ACTOR)
    return store


def newest(number: int) -> StoredForm:
    """Return another digest of a key's text."""
    return StoredForm(digest=digest(number + 1_000_000), pepper_id="p2", algorithm="hmac")


async def test_a_batch_is_stored_whole(owned: SqlStore) -> None:
    """Each key reads as it was given, and is found by its digest with what made that."""
    done = await owned.import_keys(batch_of(import_of(1), import_of(2, expires_at=1_900_000_000_000_001)), ACTOR)

    found = await owned.get_key(key_id(2))
    loaded = await owned.load([digest(7), digest(2)])
    assert [None, None] == list(done.causes)
    assert ("legacy", "old-2", "old-2", "old_") == (found.import_source, found.external_id, found.name, found.hint)
    assert (("a:read",), 1_900_000_000_000_001) == (found.record.scopes, found.record.expires_at)
    assert ACTOR.key_id == found.created_by
    assert found.record == loaded.record
    assert StoredForm(digest=digest(2), pepper_id="p1", algorithm="hmac(sha256)") == loaded.form


async def test_a_batch_leaves_one_audit_row_and_one_change(owned: SqlStore, database_url: str) -> None:
    """The trail tells how many keys came from where and what names them; caches hear of one change."""
    done = await owned.import_keys(batch_of(import_of(1), import_of(2)), ACTOR)

    audited = run_sql(database_url, "SELECT action, target_id, after FROM audit_events WHERE action = 'key.import'")
    told = run_sql(database_url, "SELECT seq, kind, key_id FROM auth_change ORDER BY seq DESC LIMIT 1")
    assert [("key.import", "legacy")] == [(row[0], row[1]) for row in audited]
    assert all(part in str(audited[0][2]) for part in ("count", "2", "d" * 64, "verifa", "declared"))
    assert done.revision is not None
    assert [(done.revision.seq, "negatives", None)] == list(told)


async def test_importing_again_changes_nothing(owned: SqlStore, database_url: str) -> None:
    """What is there stays as it is, without a position or an audit row; what is new comes in."""
    await owned.import_keys(batch_of(import_of(1)), ACTOR)
    again = await owned.import_keys(batch_of(import_of(3, external_id="old-1")), ACTOR)
    more = await owned.import_keys(batch_of(import_of(1), import_of(2)), ACTOR)

    rows = run_sql(database_url, "SELECT count(*) FROM audit_events WHERE action = 'key.import'")
    assert ([PRESENT], None) == (list(again.causes), again.revision)
    assert [PRESENT, None] == list(more.causes)
    assert [(2,)] == list(rows)


async def test_what_cannot_be_stored_is_left_out(owned: SqlStore) -> None:
    """Foreign, deleted and taken: each is told, and the others of the batch are stored."""
    await owned.create_organization(new_organization(2), ACTOR)
    await owned.delete_organization(organization_id(2), "", ACTOR)
    await owned.create_key(new_key(9, digest=digest(-4)), ACTOR)
    batch = batch_of(
        import_of(1),
        import_of(2, organization_id=organization_id(2)),
        import_of(3, organization_id=organization_id(3)),
        import_of(4),
    )

    tried = await owned.examine_import(batch)
    done = await owned.import_keys(batch, ACTOR)

    assert [None, DELETED, NO_ORGANIZATION, TAKEN] == list(done.causes) == list(tried)
    assert (await owned.load([digest(1)])).record is not None


async def test_a_trial_stores_nothing(owned: SqlStore, database_url: str) -> None:
    """A dry run asks and leaves no trace."""
    before = await owned.head()

    tried = await owned.examine_import(batch_of(import_of(1)))

    assert [None] == list(tried)
    assert before.revision == (await owned.head()).revision
    assert [(0,)] == list(run_sql(database_url, "SELECT count(*) FROM keys"))


async def test_a_batch_is_all_or_nothing(owned: SqlStore, database_url: str) -> None:
    """Where the audit row cannot be written, no key is."""
    run_sql(database_url, "ALTER TABLE audit_events RENAME TO elsewhere")

    with pytest.raises(Exception, match="the database is not available"):
        await owned.import_keys(batch_of(import_of(1), import_of(2)), ACTOR)

    assert [(0,)] == list(run_sql(database_url, "SELECT count(*) FROM keys"))


async def test_imports_of_one_source_at_once(owned: SqlStore) -> None:
    """Whoever is second is told so, or finds the keys there; no key comes twice."""
    same = batch_of(*(import_of(number) for number in range(1, 50)))
    answers = await asyncio.gather(*(owned.import_keys(same, ACTOR) for _ in range(4)), return_exceptions=True)

    done = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert all(isinstance(answer, ConflictError) for answer in answers if isinstance(answer, BaseException))
    assert 49 == sum(list(answer.causes).count(None) for answer in done)


async def test_an_organization_is_not_deleted_under_an_import(owned: SqlStore) -> None:
    """Of a deletion and an import at once one finds the other: no live key is left without an owner."""
    await owned.create_organization(new_organization(2), ACTOR)

    async def delete() -> None:
        with suppress(FailedPreconditionError):
            await owned.delete_organization(organization_id(2), "", ACTOR)

    mine = batch_of(*(import_of(number, organization_id=organization_id(2)) for number in range(1, 20)))
    done, _ = await asyncio.gather(owned.import_keys(mine, ACTOR), delete())

    status = (await owned.get_organization(organization_id(2))).status
    assert ("deleted" if None not in done.causes else "active") == status


async def test_a_form_is_replaced_once(owned: SqlStore) -> None:
    """Afterwards the key is found under the new digest only; the old one is nobody's to replace."""
    await owned.import_keys(batch_of(import_of(1)), ACTOR)

    first = await owned.replace_form(key_id(1), digest(1), newest(1))
    second = await owned.replace_form(key_id(1), digest(1), newest(1))

    old, new = await owned.load([digest(1)]), await owned.load([newest(1).digest, digest(1)])
    assert (True, False, None, newest(1)) == (first, second, old.record, new.form)


@pytest.mark.parametrize("used", [False, True], ids=["not-used-yet", "used"])
async def test_a_digest_that_was_imported_is_not_imported_again(owned: SqlStore, *, used: bool) -> None:
    """Under another source or for another organization: not after its key has got its newest form either."""
    await owned.create_organization(new_organization(2, name="other"), ACTOR)
    await owned.import_keys(batch_of(import_of(1)), ACTOR)
    if used:
        assert await owned.replace_form(key_id(1), digest(1), newest(1))
        another = StoredForm(digest=digest(2_000_000), pepper_id="p3", algorithm="hmac")
        assert await owned.replace_form(key_id(1), newest(1).digest, another)
    again = replace(import_of(1, organization_id=organization_id(2)), id=key_id(2), external_id="another")
    batch = replace(batch_of(again), source="elsewhere")

    examined, done = await owned.examine_import(batch), await owned.import_keys(batch, ACTOR)

    assert [TAKEN] == list(examined) == list(done.causes)


async def test_a_digest_that_is_imported_and_used_meanwhile_is_noticed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look of another import and its rows: it is begun anew, and finds it."""
    store = SqlStore.open(postgres_url, PEPPERS)
    copy = imports._copy

    async def slow(*arguments: Any) -> None:
        monkeypatch.undo()
        await store.import_keys(batch_of(import_of(1)), ACTOR)
        await store.replace_form(key_id(1), digest(1), newest(1))
        await copy(*arguments)

    try:
        await store.create_organization(new_organization(), ACTOR)
        monkeypatch.setattr(imports, "_copy", slow)
        again = replace(import_of(2), digest=digest(1), digests=(digest(1),), external_id="another")
        done = await store.import_keys(replace(batch_of(again), source="elsewhere"), ACTOR)
    finally:
        await store.close()

    assert [TAKEN] == list(done.causes)
    assert [(key_id(1),)] == run_sql(postgres_url, "SELECT id FROM keys")


async def test_a_key_made_here_has_no_former_digest(owned: SqlStore, database_url: str) -> None:
    """What is replaced when a pepper is replaced is no digest that anybody could import."""
    await owned.create_key(new_key(1), ACTOR)
    await owned.replace_form(key_id(1), digest(1), newest(1))

    assert [] == run_sql(database_url, "SELECT digest FROM former_digests")


async def test_former_digests_are_forgotten_when_a_pepper_is_wrapped(owned: SqlStore, database_url: str) -> None:
    """Whoever has the pepper that leaked could try texts against them."""
    for number in range(1, 6):
        await owned.import_keys(batch_of(import_of(number)), ACTOR)
        await owned.replace_form(key_id(number), digest(number), newest(number))

    forgotten = await owned.database.run(forms.forget_some(owned.database, 3))
    left = run_sql(database_url, "SELECT count(*) FROM former_digests")
    await owned.database.run(forms.wrap_all(owned.database, "p1", Pepper("p2", b"o" * 32)))

    assert (3, [(2,)]) == (forgotten, left)
    assert [] == run_sql(database_url, "SELECT digest FROM former_digests")


async def test_a_form_that_is_taken_stays_as_it_is(owned: SqlStore) -> None:
    """A text with a record of its own keeps it; nothing fails."""
    await owned.create_key(new_key(1), ACTOR)
    await owned.create_key(new_key(2), ACTOR)

    taken = StoredForm(digest=digest(2), pepper_id="p2", algorithm="hmac")
    assert not await owned.replace_form(key_id(1), digest(1), taken)
    assert (await owned.load([digest(1)])).record is not None


async def test_a_new_form_leaves_the_version_and_the_position(owned: SqlStore) -> None:
    """It is no change of the key: etags hold and caches hear of nothing."""
    await owned.create_key(new_key(1), ACTOR)
    before, head = await owned.get_key(key_id(1)), await owned.head()

    await owned.replace_form(key_id(1), digest(1), newest(1))

    assert (before, head.revision) == (await owned.get_key(key_id(1)), (await owned.head()).revision)


async def test_a_new_form_races_a_revocation(owned: SqlStore) -> None:
    """However they meet, the key is revoked, and found under one of its digests at every moment."""
    for number in range(1, RACES + 1):
        await owned.create_key(new_key(number), ACTOR)

    async def seen(number: int) -> Any:
        return (await owned.load([newest(number).digest, digest(number)])).record

    for number in range(1, RACES + 1):
        _, _, during = await asyncio.gather(
            owned.replace_form(key_id(number), digest(number), newest(number)),
            owned.revoke_key(key_id(number), "leaked", ACTOR),
            seen(number),
        )
        after = await seen(number)
        assert during is not None
        assert after is not None
        assert after.revoked_at is not None


async def test_a_dead_record_of_a_text_decides(owned: SqlStore) -> None:
    """Where two digests of one text were imported, revoking either record ends the text."""
    await owned.import_keys(batch_of(import_of(1), import_of(2)), ACTOR)
    await owned.revoke_key(key_id(2), "leaked", ACTOR)

    found = (await owned.load([digest(1), digest(2)])).record
    assert found is not None
    assert key_id(2) == found.id


async def test_a_load_names_the_other_records_of_a_text(owned: SqlStore) -> None:
    """And their organizations: a change of theirs concerns the answer too."""
    await owned.create_organization(new_organization(2, name="other"), ACTOR)
    await owned.import_keys(batch_of(import_of(1), import_of(2, organization_id=organization_id(2))), ACTOR)

    assert (key_id(2), organization_id(2)) == (await owned.load([digest(1), digest(2)])).also
    assert (key_id(1), organization_id(1)) == (await owned.load([digest(2), digest(1)])).also
    assert () == (await owned.load([digest(1), digest(3)])).also


@pytest.mark.parametrize("first", [1, 2])
async def test_a_text_ends_with_the_first_grace_of_its_records(owned: SqlStore, first: int) -> None:
    """Where either was rotated: the successor has another text, and this one is not to outlive the grace."""
    await owned.import_keys(batch_of(import_of(1), import_of(2)), ACTOR)
    rotated = await owned.rotate_key(key_id(first), "", new_key(3), 1_000_000, ACTOR)
    ends = rotated.value.predecessor.record.grace_ends_at

    found = (await owned.load([digest(1), digest(2)])).record
    assert found is not None
    assert ends is not None
    assert (key_id(1), ends) == (found.id, found.grace_ends_at)
    assert key_id(1) == (await owned.find_key([digest(1), digest(2)])).record.id


async def test_live_keys_are_counted_by_their_pepper(owned: SqlStore) -> None:
    """Revoked ones do not count, and a wrapped pepper counts for itself."""
    for number, pepper in ((1, "p1"), (2, "p1"), (3, "p2"), (4, "p2(p1)")):
        await owned.create_key(new_key(number, pepper_id=pepper), ACTOR)
    await owned.revoke_key(key_id(2), "", ACTOR)

    counted = await owned.database.run(forms.live_by_pepper(owned.database))
    assert {"p1": 1, "p2": 1, "p2(p1)": 1} == counted


async def test_wrapping_takes_every_key_of_a_pepper(owned: SqlStore) -> None:
    """In batches, revoked ones too; what is wrapped already is wrapped in a further layer only with its own pepper."""
    outer = Pepper("p2", b"o" * 32)
    for number in range(1, 8):
        await owned.create_key(new_key(number, pepper_id="p1" if number < 6 else "p0"), ACTOR)
    await owned.revoke_key(key_id(2), "", ACTOR)

    done = []
    while (some := await owned.database.run(forms.wrap_some(owned.database, ["p1"], outer, 2))) > 0:
        done.append(some)

    found = await owned.load([outer.wrap(Digest(digest(2)))])
    assert [2, 2, 1] == done
    assert found.form == StoredForm(digest=outer.wrap(digest(2)), pepper_id="p2(p1)", algorithm="hmac(hmac)")
    assert (await owned.load([digest(6)])).record is not None


@pytest.mark.parametrize("assurance", [None, *Assurance], ids=str)
async def test_what_is_known_of_a_key_is_kept(owned: SqlStore, assurance: Assurance | None) -> None:
    """Through both ways of writing; the successor of a rotation is made here, and has none."""
    await owned.import_keys(batch_of(import_of(1, assurance=assurance)), ACTOR)
    stored = await owned.get_key(key_id(1))
    rotated = await owned.rotate_key(key_id(1), stored.etag, new_key(2), 0, ACTOR)

    assert (assurance, None) == (stored.record.assurance, rotated.value.key.record.assurance)
    assert assurance == rotated.value.predecessor.record.assurance
