"""A key as policy sees it."""

from __future__ import annotations

import dataclasses

import pytest

from authsvc.domain.administration import OrganizationStatus
from authsvc.domain.keys import KeyRecord, Revision
from tests.support.builders import record


def test_no_policy_field_has_a_default() -> None:
    """A mapper that forgets a field must crash, not allow."""
    defaults = [f.name for f in dataclasses.fields(KeyRecord) if f.default is not dataclasses.MISSING]
    factories = [f.name for f in dataclasses.fields(KeyRecord) if f.default_factory is not dataclasses.MISSING]

    assert (defaults, factories) == ([], [])


def test_a_forgotten_field_crashes() -> None:
    """The same, seen from the mapper."""
    fields = {f.name: getattr(record(), f.name) for f in dataclasses.fields(KeyRecord)}
    del fields["revoked_at"]

    with pytest.raises(TypeError, match="revoked_at"):
        KeyRecord(**fields)


def test_a_record_is_frozen() -> None:
    """Records are shared between threads."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        record().revoked_at = None  # type: ignore[misc]


@pytest.mark.parametrize(
    ("state", "reaches"),
    [
        pytest.param(Revision(epoch="e", seq=7), True, id="the-same"),
        pytest.param(Revision(epoch="e", seq=8), True, id="later"),
        pytest.param(Revision(epoch="e", seq=6), False, id="earlier"),
        pytest.param(Revision(epoch="f", seq=8), False, id="another-epoch"),
    ],
)
def test_a_state_reaches_what_came_before_in_its_epoch(state: Revision, *, reaches: bool) -> None:
    """Positions of different epochs do not compare, so neither reaches the other."""
    assert reaches is state.reaches(Revision(epoch="e", seq=7))


def test_a_revision_is_written_as_on_the_wire() -> None:
    """Clients hand it back as they got it."""
    assert str(Revision(epoch="e", seq=7)) == "e:7"


def test_organization_statuses_are_never_renamed() -> None:
    """They are stored."""
    assert {"active", "suspended", "deleted"} == {status.value for status in OrganizationStatus}
