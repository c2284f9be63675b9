"""One module a verb. A handler takes a `Call` and gives a Response, or None when it has answered by itself."""
