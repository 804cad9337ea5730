"""Add and check the arguments that several commands share."""
