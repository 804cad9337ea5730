"""What a student learns from besides pairs of pictures: the teacher's answers."""
