"""Images of containers and of VMs' disks, kept by digest: `store.ImageStore` is the door.

`reference` reads an image's name, `manifest` its OCI or Docker description, `archive` takes images from files, `layers`
finds one file in an image, `blobs` holds the bytes.
"""
