"""The judges of an evaluation: face recognition and landmarks that no model was trained with."""
