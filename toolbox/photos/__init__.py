"""Faces in photographs and videos: found, cut out, followed, named, drawn."""
