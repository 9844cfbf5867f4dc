"""The service: how a request is signed and written, what an answer says, what its codes mean."""
