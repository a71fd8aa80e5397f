"""How hard the property tests try: 2,000 examples each, or 100,000 with `HYPOTHESIS_PROFILE=fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Generated tables and long runs are slow to draw by design, and no property may depend on a clock.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

settings.register_profile("quick", _COMMON, max_examples=100)
settings.register_profile("default", _COMMON, max_examples=2_000)
# A failure in CI is one that everybody can repeat.
settings.register_profile("ci", _COMMON, max_examples=2_000, derandomize=True)
settings.register_profile("fuzz", _COMMON, max_examples=100_000)


def load() -> None:
    """Select the profile the environment names, else the one for where we are."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))
