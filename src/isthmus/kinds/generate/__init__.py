"""Builds `kinds/generated/` from the tables and from published schema packages. Run by `make setup` and the wheel
build.

Nothing here is imported at run time; `catalogue` reads what this leaves behind.
"""
