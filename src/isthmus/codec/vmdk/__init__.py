"""VMware's virtual disk formats (Virtual Disk Format 5.0), read only.

`header` and `descriptor` parse the two heads that a VMDK may have; `stream` reads streamOptimized in one pass, `sparse`
finds the grains of a hosted sparse extent through a random-access callable. Flat extents need no reader: they are raw.
Numbers are little endian, a sector is 512 bytes. The only exception raised is `codec.malformed.MalformedError`.
"""
