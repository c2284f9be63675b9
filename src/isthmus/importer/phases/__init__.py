"""The phases of an import, one module each: `step(work)` does what is due and says whether the phase is over."""
