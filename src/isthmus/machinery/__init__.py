"""One pure module for each Kubernetes concept, under Kubernetes' own name for it. No I/O of any kind.

Objects are plain JSON dicts, as they travel on the wire.
"""
