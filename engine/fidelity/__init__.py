"""Cheaper forms of a search: scoring the best candidates again in full, and measuring what a form costs and keeps."""
