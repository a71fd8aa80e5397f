"""Every measure, in the order in which they are run and shown."""

from __future__ import annotations

from bench import administration, hits, imports, inprocess, products, starting, stored, through_envoy

MEASURES = {
    measure.name: measure
    for measure in (
        *hits.MEASURES,
        *through_envoy.MEASURES,
        *inprocess.MEASURES,
        *stored.MEASURES,
        *products.MEASURES,
        *starting.MEASURES,
        *administration.MEASURES,
        *imports.MEASURES,
    )
}
