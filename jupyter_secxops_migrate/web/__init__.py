"""The service's REST routes and its event stream."""
