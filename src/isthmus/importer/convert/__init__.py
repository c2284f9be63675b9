"""Guest conversion: which converter, what it is told, the VMI it runs in, and what it reports."""
