"""The phases of an import, one module each: `step(work)` does what is to be done next and says whether it is all done."""
