"""From a run's config to a saved student, and the process in which that happens."""
