"""The embedded home's controllers: each brings what is a step nearer to what is wanted, through the API alone.

One process runs all of them on one set of informers; `build` gives the list. Every controller is level-triggered: it
looks at the objects as they are and may be stopped at any point.
"""
