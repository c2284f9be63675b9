"""The strategies of kinds for which generic rules are not enough, by groups of kinds. Importing this registers all."""

from isthmus.engine.registry.strategies import (
    apiextensions,
    batch,
    certificates,
    core,
    immutable,
    kubevirt,
    rbac,
    services,
    workloads,
)

__all__ = ["apiextensions", "batch", "certificates", "core", "immutable", "kubevirt", "rbac", "services", "workloads"]
