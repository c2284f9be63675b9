"""The API server: bytes to requests, a chain of checks, one function a verb, watch streams, discovery, OpenAPI.

The way of a request: `protocol` -> `app` (the chain) -> `requestinfo` -> `handlers` -> `registry` -> `store`.
"""
