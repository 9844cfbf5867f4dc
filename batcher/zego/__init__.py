"""The service's API: signatures, requests, connections, answers and return codes."""
