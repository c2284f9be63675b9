"""Worker pods: our own program as a process beside its volumes, with the life of a Pod."""
