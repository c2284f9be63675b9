"""A source's machine -> objects of the target: pure, golden-tested (tests/golden/map).

`virtual_machine` builds the VirtualMachine, `claims` the PersistentVolumeClaims its disks go into, `concerns` says what
will be different there. `guests` knows operating systems, `names` makes names that Kubernetes accepts.
"""
