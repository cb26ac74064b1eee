"""The course: its lessons as they are shipped, a student's copies, and how these are checked."""
