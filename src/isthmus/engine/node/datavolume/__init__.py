"""The program in a DataVolume's worker Pod: fills a volume over HTTP, from a registry, or from another volume."""
