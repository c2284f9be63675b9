"""Every resource type as data: names, scope, schema, columns, subresources, patch keys.

Built-in kinds and a user's CRDs take one path: both become a `kind.Kind`.
"""
