"""Films: swap a person's face frame by frame; sound, subtitles and timestamps stay as they are."""
