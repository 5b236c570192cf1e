"""Faces and their labels: CSV dialects, cache, splits, synthetic faces, image folders, votes."""
