"""The strategies of kinds for which generic rules are not enough, one module a group. Importing this registers all."""

from isthmus.engine.registry.strategies import apiextensions, batch, core, immutable, kubevirt, rbac, services

__all__ = ["apiextensions", "batch", "core", "immutable", "kubevirt", "rbac", "services"]
