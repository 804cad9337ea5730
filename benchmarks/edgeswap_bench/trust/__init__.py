"""Say how far the figures can be trusted: the machine before and after, and a verdict on each."""
