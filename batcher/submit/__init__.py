"""Submitting: a run loads manifests, claims submissions, sends them and records what came back."""
