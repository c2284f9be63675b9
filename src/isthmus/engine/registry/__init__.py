"""What is served and how it is written: kinds, generic verbs, strategies, admission, subresources, CRDs.

Between `server` (HTTP) and `store` (bytes). Everything here holds objects as decoded JSON dicts and raises StatusError.
"""
