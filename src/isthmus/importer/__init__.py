"""The way off VMware: objects in, objects out. Speaks to any Kubernetes API through `client`, never to the engine."""
