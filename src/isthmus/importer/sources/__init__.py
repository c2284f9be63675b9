"""Where machines come from. Each source gives `machine.Machine` (what it is) and the bytes of its disks.

`opening.open_package` opens an OVF package or a bare VMDK by path, URL or pipe; `package` and `pipe` are what it gives;
`ovf` reads the descriptor, `streams` and `web` are the layers that bytes come through. Nothing here ever writes to a
source. All failures that are the input's fault are `errors.SourceError`.
"""
