"""The fault tree."""

from __future__ import annotations

from authsvc.domain import errors
from authsvc.domain.errors import AuthsvcError, StartupError


def test_faults_are_flat() -> None:
    """One table maps the faults to gRPC codes, so none may hide behind another."""
    faults = {cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, AuthsvcError)}

    assert faults - {AuthsvcError} == set(AuthsvcError.__subclasses__())


def test_a_startup_error_is_for_the_operator_only() -> None:
    """Its text may name files and settings, so it is never mapped to an answer."""
    assert not issubclass(StartupError, AuthsvcError)
