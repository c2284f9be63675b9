"""The one door to a Kubernetes API, for everything above it and for the engine's own controllers and agents."""
