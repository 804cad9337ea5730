"""A decoder that sees the target and says where the swap belongs."""
