"""A live class: one teacher leads, students answer; nothing is kept longer than the class."""
