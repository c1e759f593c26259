"""The service's REST routes and its event stream.

A thin skin over `jupyter_secxops_migrate.api.MigrationApi`: it reads requests, says who asks
(`identity`), calls the API and writes JSON, as the route table says (`routes`). It decides nothing and knows no
engine and no store; who listens where is the matter of the service's hosts. ``openapi.yaml`` is the contract.
Nothing is imported here: the table is for the Jupyter server's start, too.
"""
