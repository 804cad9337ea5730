"""A package, so that its fixtures end with it: they put a stand-in for the detector in place."""
