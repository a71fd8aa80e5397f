"""Key records in memory, in front of any `KeyStore`: see `store`, and docs/caching.md for the rules."""

from __future__ import annotations

from authsvc.cache.entries import CacheSettings
from authsvc.cache.store import CachedKeyStore

__all__ = ["CacheSettings", "CachedKeyStore"]
