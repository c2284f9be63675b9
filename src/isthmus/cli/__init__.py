"""The `isthmus` command. Thin: parse, call, print."""
