"""The parts of the fuzz study: sound inputs, mutations of them, a sandbox and a judge."""
