"""The agent of one node: runs what the API says shall run here, and tells the API what runs.

`assembly` composes, `agent` runs; `vmi/` and `pods` reconcile; `vm/` is QEMU, `guest/` its inside, `disk/` volumes,
`net/` networks, `image/` images, `worker/` our own worker pods; `api` serves consoles, screens and logs to the API
server.
"""
