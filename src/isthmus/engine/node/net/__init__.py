"""The node's networks: the pod network, NetworkAttachmentDefinitions, and what joins a VM to them.

`network.Network` is the door. It asks `plan` (pure: requests in, commands out) what to do, lets `apply` do it, keeps
addresses in `ipam` and answers guests by `dhcpserver`. Without root it plans QEMU's user networking (`slirp`) instead.
"""
