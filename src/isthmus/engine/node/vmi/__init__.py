"""What the agent does for one VMI of its node, with its launcher Pod and its machine.

    pod Pending          -> `startup`: prepare images, volumes, networks -> pod Running with its addresses
    VMI Scheduled        -> `startup`: start the machine                 -> VMI Running
    machine runs         -> `supervision`: probes, credentials, status
    VMI or pod deleted   -> `supervision`: ask the guest to power off, after the grace period end it
    machine ended        -> `cleanup`: VMI and pod Succeeded or Failed, networks gone
    VMI gone             -> `cleanup`: machine, networks and directory removed

`reconciler` decides which of these it is; `assembly` puts the parts together.
"""
