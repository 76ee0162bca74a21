"""Models and names that cross a boundary between rooms. Imports nothing of ours."""
