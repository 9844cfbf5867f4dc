"""The commands: their options, and their help, which is documentation. What they do stands beside."""
