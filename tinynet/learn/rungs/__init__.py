"""The exercises of the course, rung by rung: what each asks, and how an answer to it is graded."""
