"""The notebooks of the course, which are installed as tinynet.learn.notebooks."""
