"""The program that does an import's heavy work beside the target volume: `python -m isthmus.importer.worker`.

`inspect` reads what a source has; `transfer` streams its disks into volumes. `pieces` turns a VMDK into pieces of a
disk, `pipeline` inflates and writes them on several threads, `target` is the volume, `progress` tells how far it is.
"""
