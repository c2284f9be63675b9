"""The embedded home: API server, controllers, scheduler and node agent on one machine."""
