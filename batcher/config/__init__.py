"""Settings: the values a user gives, their rules, and the sources they are read from."""
