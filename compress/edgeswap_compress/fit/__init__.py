"""What every stage that fits or runs a model with torch shares."""
