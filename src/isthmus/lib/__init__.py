"""What the standard library lacks: processes, clock, task groups, logs, the data directory. No Kubernetes."""
