"""Everything that runs on its own, as Prefect flows: one thin flow per file; what they share is in `flows.support`."""
