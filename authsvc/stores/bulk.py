"""Many keys at one position."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from authsvc.domain.administration import Actor, Changed, Key
from authsvc.domain.errors import AdministratorsChangedError, ConflictError, UnavailableError
from authsvc.ports import KeyFilter
from authsvc.stores import audit, queries, rows
from authsvc.stores.change import Change
from authsvc.stores.database import Database
from authsvc.stores.filters import conditions
from authsvc.stores.mutations import key_target
from authsvc.stores.revocations import REVOKE, revoking
from authsvc.stores.staying import GONE, one_stays
from authsvc.stores.tables import keys
from authsvc.stores.trail import Event

ACTION = "key.bulk_revoke"
_KEY_IDS = "key_ids"


async def found(database: Database, key_ids: Sequence[str]) -> tuple[Key, ...]:
    """Return those of the keys that are there and not deleted, in the order of their ids."""
    return tuple(rows.key(row) for row in await database.rows(queries.keys_by_id(key_ids)))


async def count(database: Database, where: KeyFilter) -> int:
    """Return how many keys a filter selects."""
    counted = select(func.count().label("number")).select_from(keys).where(*conditions(where, database.now()))
    number: int = (await database.report(counted))[0]["number"]
    return number


async def revoke(
    database: Database, ending: Sequence[Key], reason: str, actor: Actor, others: Sequence[Key] | None
) -> Changed[int]:
    """Revoke keys that are neither revoked nor deleted, all of them or none; one event tells of them all."""
    ids = sorted(key.record.id for key in ending)
    owners = {key.record.id: key.record.organization_id for key in ending}

    async def work(change: Change) -> Changed[int]:
        effect = REVOKE.where(*one_stays(others)).returning(keys.c.id)
        event = Event(
            action=ACTION,
            target_kind="key",
            target_id="",
            organization_id=next(iter(owners.values())) if len(set(owners.values())) == 1 else "",
            before={"revoked_at": None},
            after={"revoked_at": rows.instant_text(change.now), _KEY_IDS: ids},
            reason=reason,
            count=len(ids),
        )
        targets = [key_target({"id": id_, "organization_id": owners[id_]}) for id_ in ids]
        parameters = revoking(ids, change.now, reason)
        touched = await change.write(effect, (event,), targets, about=str(change.audit_seq), parameters=parameters)
        if len(touched) != len(ids):
            if others is not None and not touched:
                raise AdministratorsChangedError(GONE)
            raise ConflictError("some of the keys were revoked or deleted meanwhile")
        return Changed(value=len(ids), revision=change.revision)

    return await database.change(actor, work, large=True)


async def revoked(database: Database, about: str) -> tuple[str, ...]:
    """Return the keys that an earlier revocation ended, by what is remembered of it; nothing of one that ended none."""
    if not about:
        return ()
    event = await audit.event_at(database, int(about))
    if event is None or event.action != ACTION or event.after is None:
        raise UnavailableError("the revocation cannot be recalled")
    return tuple(event.after[_KEY_IDS])
