"""Who used what how often: counted in memory, stored in batches, never in a request's way."""
