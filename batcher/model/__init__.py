"""Values of the domain: submissions, outcomes, tasks, records, events. No I/O."""
