"""Nets of other programs, read: their layers from an allow-list, their weights as plain arrays.

Nothing in a file is executed, no file that it names is opened, and what is unknown is refused by its name.
"""
