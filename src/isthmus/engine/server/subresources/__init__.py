"""The subresources that are more than a generic verb: a module a resource, each with its rows of `dispatch`."""
