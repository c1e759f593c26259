"""The workflow of a migration: its plan, its record, its steps."""
