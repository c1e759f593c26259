"""Durable work of any kind: its record, its events, what runs it and what makes it survive.

It knows no share. A kind of operation (`kind.Kind`) declares its steps, keeps a typed document of its own
beside the record, and is registered where `service.Operations` is made.
"""
