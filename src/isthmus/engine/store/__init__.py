"""The revision log: every object and its history in one SQLite table, and the hub that fans committed rows out.

Knows keys, revisions and bytes; nothing of what the bytes mean. Called by `registry`, calls nobody.
"""
