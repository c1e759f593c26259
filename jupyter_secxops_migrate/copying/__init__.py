"""The verified copy of a tree; stand-alone, it is what runs inside a Job."""
