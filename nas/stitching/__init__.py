"""Stitching: networks of different families, trained alone or brought by a user, become one."""
