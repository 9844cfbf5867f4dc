"""Tracking: polls every task until it has ended."""
