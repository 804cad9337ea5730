"""What a student learns from: pairs of pictures, what is seen of them, the teacher's answers."""
